# SPDX-License-Identifier: BSD-2-Clause
"""The QEMU command line of a Lentil machine; scripts/boot and the boot tests share it."""
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KERNEL = os.path.join(TOP, "build/Image")
INITRD = os.path.join(TOP, "build/initramfs.cpio.gz")
MACHINES = ("virt", "sifive_u")
SPL = os.path.join(TOP, "third_party/boards/u-boot/sifive_unleashed/u-boot-spl.bin")
# The SiFive board cannot power itself off; the kernel asks QEMU instead.
SEMIHOSTING = ["-semihosting-config", "enable=on,target=native"]


def card_command(card, memory="8G", smp=4, gdb=False):
    """The Unleashed as its boot ROM starts it from an SD card: SPL, OpenSBI, U-Boot, and what is on the card."""
    return (["qemu-system-riscv64", "-M", "sifive_u,msel=11", "-nographic", "-smp", str(smp + 1), "-m", memory, "-bios", SPL,
             "-drive", f"file={card},format=raw,if=sd", *SEMIHOSTING] + (["-s", "-S"] if gdb else []))


def qemu_command(kernel, initrd=None, append="", machine="virt", smp=4, memory="512M", disk=None, icount=False,
                 gdb=False):
    """A list of words. `smp` counts the harts that can run a kernel: sifive_u has one more, without an MMU."""
    command = ["qemu-system-riscv64", "-M", machine, "-nographic", "-m", memory]
    if machine == "sifive_u":
        command += ["-smp", str(smp + 1), *SEMIHOSTING]
    else:
        command += ["-smp", str(smp)]
    command += ["-kernel", kernel]
    if initrd:
        command += ["-initrd", initrd]
    if append:
        command += ["-append", append]
    if disk:
        command += ["-drive", f"file={disk},if=none,format=raw,id=disk0", "-device", "virtio-blk-device,drive=disk0"]
    if icount:
        command += ["-icount", "shift=0"]
    if gdb:
        command += ["-s", "-S"]
    return command


def stop(process):
    """Ends a QEMU that is still running; one that does not listen is killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
