# SPDX-License-Identifier: BSD-2-Clause
"""Builds Lentil and boots it in QEMU, the serial line on this terminal. Ends when the guest powers off, with QEMU's
exit code. Ctrl-A X ends it at once; Ctrl-C belongs to the guest."""
import argparse
import os
import shlex
import subprocess
import sys
import termios

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import qemu  # noqa: E402
import sdcard  # noqa: E402
import userland  # noqa: E402

TIMED_OUT = 124


def main():
    parser = argparse.ArgumentParser(prog="scripts/boot", description=__doc__)
    parser.add_argument("--smp", type=int, default=4, metavar="N", help="number of harts (default: 4)")
    parser.add_argument("--memory", metavar="SIZE", help="memory, such as 256M or 2G (default: 512M; sifive_u has 8G)")
    parser.add_argument("--initrd", metavar="FILE", help="initramfs, cpio or cpio.gz (default: busybox and a shell)")
    parser.add_argument("--append", default="", metavar="WORDS", help="the kernel's command line")
    parser.add_argument("--disk", metavar="FILE", help="raw image of a virtio disk")
    parser.add_argument("--userland", choices=userland.USERLANDS,
                        help="boots Debian 13 from a disk, build/NAME.img, which is made first and keeps what is changed on it")
    parser.add_argument("--machine", choices=qemu.MACHINES, default="virt",
                        help="sifive_u: makes an SD card, build/sifive_u.img, and boots it through the board's firmware")
    parser.add_argument("--card", metavar="FILE", help="sifive_u boots this card as it is (scripts/sdcard makes one)")
    parser.add_argument("--icount", action="store_true", help="virtual time: one instruction is one nanosecond")
    parser.add_argument("--gdb", action="store_true", help="wait for gdb on port 1234 before the first instruction")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help=f"give up after this time, exit code {TIMED_OUT}")
    parser.add_argument("--kernel", metavar="FILE", help="boot this kernel (default: build/Image)")
    parser.add_argument("--checks", action="store_true", help="the debug kernel, build/checked/Image")
    parser.add_argument("--dry-run", action="store_true", help="print the QEMU command and stop")
    options = parser.parse_args()

    if options.userland:
        if options.disk or options.initrd or options.machine != "virt":
            parser.error("--userland brings its own disk, for the machine virt")
        options.disk = userland.make(options.userland)
        options.append = f"root=/dev/vda {options.append}".strip()
        options.memory = options.memory or "1G"

    build_dir = os.path.join(qemu.TOP, "build/checked" if options.checks else "build")
    kernel = options.kernel or os.path.join(build_dir, "Image")
    initrd = None if options.userland else options.initrd or os.path.join(build_dir, "initramfs.cpio.gz")
    if options.machine == "sifive_u":
        if options.disk or options.icount:
            parser.error("sifive_u has no virtio disk, and its firmware does not run in virtual time")
        card = options.card or os.path.join(qemu.TOP, "build/sifive_u.img")
        command = qemu.card_command(card, options.memory or "8G", options.smp, options.gdb)
    else:
        if options.card:
            parser.error("--card is for --machine sifive_u")
        command = qemu.qemu_command(kernel=kernel, initrd=initrd, append=options.append, smp=options.smp,
                                    memory=options.memory or "512M", disk=options.disk, icount=options.icount, gdb=options.gdb)
    if options.dry_run:
        print(shlex.join(command))
        return 0
    if not options.card and not (options.kernel and (options.initrd or options.userland)):
        build = [os.path.join(qemu.TOP, "scripts/build")] + (["--checks"] if options.checks else [])
        built = subprocess.run(build + ["boot"], stdin=subprocess.DEVNULL, check=False)
        if built.returncode != 0:
            return built.returncode
    if options.machine == "sifive_u" and not options.card:
        sdcard.make(card, "unleashed", kernel, initrd, options.append)
    if options.gdb:
        print("boot: waiting for gdb; in another terminal:\n"
              f"  gdb-multiarch {os.path.relpath(build_dir)}/lentil.elf -x scripts/gdb/lentil.py -ex 'target remote :1234'", flush=True)

    terminal = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    machine = subprocess.Popen(command)
    try:
        return machine.wait(timeout=options.timeout)
    except subprocess.TimeoutExpired:
        print(f"\nboot: no power-off within {options.timeout:g} seconds", file=sys.stderr)
        return TIMED_OUT
    except KeyboardInterrupt:
        return 130
    finally:
        qemu.stop(machine)
        if terminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, terminal)


if __name__ == "__main__":
    sys.exit(main())
