# SPDX-License-Identifier: BSD-2-Clause
"""The QEMU command line of a Lentil machine; scripts/boot and the boot tests share it."""
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KERNEL = os.path.join(TOP, "build/Image")
INITRD = os.path.join(TOP, "build/initramfs.cpio.gz")
MACHINES = ("virt", "sifive_u")


def qemu_command(kernel, initrd=None, append="", machine="virt", smp=4, memory="512M", disk=None, icount=False,
                 gdb=False):
    """A list of words. `smp` counts the harts that can run a kernel: sifive_u has one more, without an MMU."""
    command = ["qemu-system-riscv64", "-M", machine, "-nographic", "-m", memory]
    if machine == "sifive_u":
        # This board cannot power itself off; the kernel asks QEMU instead.
        command += ["-smp", str(smp + 1), "-semihosting-config", "enable=on,target=native"]
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
