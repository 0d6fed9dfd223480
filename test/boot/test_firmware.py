# SPDX-License-Identifier: BSD-2-Clause
"""What firmware may get wrong: each ends in a message on the console and power-off, never in silence."""
import os
import subprocess

from harness import LOGS, RELEASE, Machine, boot_test, check_equal

LOAD = 0x80200000     # where QEMU's virt board loads what -kernel names
IMAGE_AT = 0x80400000 # where the stub expects the kernel


def board_tree(edit=None, smp=1):
    """The device tree of QEMU's virt board, changed by an edit of its source (a function of text)."""
    path = os.path.join(LOGS, "virt.dtb")
    subprocess.run(["qemu-system-riscv64", "-M", f"virt,dumpdtb={path}", "-m", "128M", "-smp", str(smp)],
                   check=True, capture_output=True)
    source = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", path], check=True, capture_output=True, text=True).stdout
    source = edit(source) if edit else source
    return subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb"], check=True, capture_output=True, input=source.encode()).stdout


def image_behind_stub(name, setup, tree=b"", image_at=IMAGE_AT):
    """A file for -kernel: a stub that changes what the firmware passed, a tree at `tree`, the kernel at image_at."""
    os.makedirs(LOGS, exist_ok=True)
    base = os.path.join(LOGS, name)
    with open(base + ".dtb", "wb") as f:
        f.write(tree)
    with open(base + ".S", "w") as f:
        f.write(f".option norelax\n.globl _start\n_start:\n{setup}\nli t0, {image_at:#x}\njr t0\n.balign 8\ntree:\n.incbin \"{base}.dtb\"\n")
    subprocess.run(["riscv64-linux-gnu-gcc", "-nostdlib", "-static", "-no-pie", "-mcmodel=medany", f"-Wl,-Ttext={LOAD:#x}",
                    "-Wl,--build-id=none", base + ".S", "-o", base + ".elf"], check=True)
    subprocess.run(["riscv64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", base + ".elf", base + ".bin"], check=True)
    with open(base + ".bin", "r+b") as f, open(RELEASE, "rb") as kernel:
        f.seek(image_at - LOAD)
        f.write(kernel.read())
    return base + ".bin"


def stops_with(sentence, message, setup, code=1, append="", smp=1, **options):
    @boot_test(sentence)
    def test():
        made = {key: value() if callable(value) else value for key, value in options.items()}
        kernel = image_behind_stub("firmware-" + "-".join(sentence.split()[:6]), setup, **made)
        with Machine(sentence, kernel=kernel, initrd=None, append=append, smp=smp, memory="128M",
                     panic_expected=True) as machine:
            machine.expect(message, 60)
            # Without a tree the kernel does not know the device that gives QEMU an exit code: then it is the firmware's 0.
            check_equal(machine.wait_for_end(30), code, "QEMU's exit code")


def without(node):
    """Disables a node of the tree by giving it another type."""
    return lambda source: source.replace(f'device_type = "{node}"', 'device_type = "nothing"')


def disabled(source, node):
    start = source.index(node + " {")
    return source[:start] + source[start:].replace('status = "okay"', 'status = "disabled"', 1)


def damaged():
    tree = bytearray(board_tree())
    tree[200:400] = bytes(200)
    return bytes(tree)


OURS = "lla a1, tree"
stops_with("without a device tree the kernel says so", "panic: there is no device tree", "li a1, 0", code=0)
stops_with("an address that is no memory is no device tree", "panic: .*while reading the device tree", "li a1, 0x8000000", code=0)
stops_with("memory that holds no device tree is told apart", "panic: there is no device tree .*magic", "li a1, 0x81000000", code=0)
stops_with("a damaged device tree is refused", "panic: the device tree is damaged", OURS, code=0, tree=damaged)
stops_with("a tree without memory is refused", "panic: the device tree has no memory node", OURS,
           tree=lambda: board_tree(without("memory")))
stops_with("a tree without harts is refused", "panic: .*boot hart", OURS, tree=lambda: board_tree(without("cpu")))
stops_with("too little memory is said", "panic: too little memory", OURS,
           tree=lambda: board_tree(lambda s: s.replace("0x00 0x8000000>", "0x00 0x400000>")))
stops_with("an image between the multiples of 2 MiB says so", "multiple of 2 MiB", "", code=0, image_at=IMAGE_AT + 0x1000)
stops_with("an image at another multiple of 2 MiB runs", "panic: on request", "", append="panic_test=panic", image_at=IMAGE_AT + 0x600000)


# The firmware boots on the hart that comes first, so there are two trees: who boots on hart 1 gets the second.
SECOND_TREE = 0x10000


def all_but_one():
    one, other = (board_tree(lambda source, cpu=cpu: disabled(source, cpu), smp=4) for cpu in ("cpu@1", "cpu@2"))
    return one.ljust(SECOND_TREE, b"\0") + other


stops_with("a hart that the tree disables is left alone, the others run", r"3 harts(.|\s)*no initramfs",
           f"{OURS}\nli t0, 1\nbne a0, t0, 1f\nli t0, {SECOND_TREE:#x}\nadd a1, a1, t0\n1:", smp=4, tree=all_but_one)
