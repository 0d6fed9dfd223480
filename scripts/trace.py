# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command in a booted Lentil with its probes on, or takes a capture of before, and makes a timeline of it: JSON for
the Perfetto (ui.perfetto.dev) and Chrome (chrome://tracing) viewers, and with --svg a picture. docs/tracing.md tells more."""
import argparse
import base64
import gzip
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import qemu  # noqa: E402
import timeline  # noqa: E402
import timeline_svg  # noqa: E402

BEGIN, END = "-=capture", "=-"
DEFAULT_COMMAND = "seq 1 3 | xargs -n 1 /bin/echo lentil | cat"


def guest_script(command, probes, records):
    """What runs as the guest's shell. The capture comes packed over the serial line."""
    control = "/proc/lentil/trace_control"
    return (f"echo records={records} > {control}; echo {probes} > {control}; {command}\n"
            f"echo off > {control}; echo -=capture; gzip < /proc/lentil/trace | base64; echo =-")


def unpack(output):
    """The capture's text out of everything that the machine printed."""
    found = re.search(rf"^{BEGIN}\r*\n(.*?)^{END}\r*$", output, re.S | re.M)
    if not found:
        sys.exit("trace: no capture came; the machine's last words: " + output[-300:].strip())
    return gzip.decompress(base64.b64decode("".join(found[1].split()))).decode()


def capture(options):
    """Boots, runs, and returns the text of /proc/lentil/trace."""
    if '"' in options.command:
        sys.exit("trace: the command goes through the kernel's command line, which has no way to write a double quote")
    append = 'quiet run="' + guest_script(options.command, options.probes, options.records).replace("\n", "; ") + '"'
    if len(append) > 1000:
        sys.exit("trace: the command is too long for the kernel's command line")
    if not options.kernel:
        built = subprocess.run([os.path.join(qemu.TOP, "scripts/build"), "boot"], stdin=subprocess.DEVNULL, check=False)
        if built.returncode != 0:
            sys.exit(built.returncode)
    command = qemu.qemu_command(options.kernel or qemu.KERNEL, options.initrd or qemu.INITRD, append, smp=options.smp,
                               icount=options.icount)
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = machine.communicate(timeout=options.timeout)
    except subprocess.TimeoutExpired:
        sys.exit(f"trace: no end within {options.timeout:g} seconds")
    finally:
        qemu.stop(machine)
    return unpack(output.decode(errors="replace"))


def main():
    parser = argparse.ArgumentParser(prog="scripts/trace", description=__doc__)
    parser.add_argument("command", nargs="?", default=DEFAULT_COMMAND,
                        help=f"what the guest's shell runs (default: {DEFAULT_COMMAND})")
    parser.add_argument("--capture", metavar="FILE", help="boot nothing: read this text of /proc/lentil/trace (or gzip)")
    parser.add_argument("--save", metavar="FILE", help="keep the capture's text too")
    parser.add_argument("--json", metavar="FILE", help="where the timeline goes (default: trace.json, unless --svg)")
    parser.add_argument("--svg", metavar="FILE", help="draw a picture")
    parser.add_argument("--title", default="", help="the picture's title")
    parser.add_argument("--probes", default="all", help="which probes, as trace_control takes them (default: all)")
    parser.add_argument("--records", type=int, default=32768, metavar="N", help="events each hart keeps (default: 32768)")
    parser.add_argument("--smp", type=int, default=2, metavar="N", help="number of harts (default: 2)")
    parser.add_argument("--icount", action="store_true", help="virtual time: one instruction is one nanosecond")
    parser.add_argument("--kernel", metavar="FILE", help="boot this kernel (default: build/Image, built first)")
    parser.add_argument("--initrd", metavar="FILE", help="initramfs (default: build/initramfs.cpio.gz)")
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="give up after this time")
    options = parser.parse_args()

    if options.capture:
        with open(options.capture, "rb") as file:
            data = file.read()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode(errors="replace")
    else:
        text = capture(options)
    if options.save:
        with open(options.save, "w", encoding="utf-8") as file:
            file.write(text)
    trace = timeline.Timeline(text)
    if not trace.events:
        sys.exit("trace: the capture holds no event")
    if options.svg:
        with open(options.svg, "w", encoding="utf-8") as file:
            file.write(timeline_svg.draw(trace, options.title or (options.command if not options.capture else "")))
    if options.json or not options.svg:
        with open(options.json or "trace.json", "w", encoding="utf-8") as file:
            file.write(timeline.chrome_json(trace))
    print(f"trace: {len(trace.events)} events, {trace.lost} lost, {len(trace.processes)} processes, "
          f"{len(trace.loans)} loans, {(trace.end - trace.start) / 1e6:.1f} ms")


if __name__ == "__main__":
    main()
