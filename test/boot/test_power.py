# SPDX-License-Identifier: BSD-2-Clause
"""Power cuts. One test ends QEMU at random moments (LENTIL_POWER_CUTS=200 as often as that, default 1). The other is
stronger, because a QEMU that ends loses nothing the guest wrote: it records every write and flush that reached the disk,
and makes from the record what a disk may hold if the power goes: everything up to the last flush, and any part of what was
written since. LENTIL_POWER_STATES says how many of those are looked at (default: 48)."""
import hashlib
import os
import random
import re
import struct
import subprocess
import time

import qemu
from harness import LOGS, RELEASE, SLOWNESS, TEST_INITRD, Machine, boot_test, check
from test_disk import E2FS_PATH, MIB, MOUNT, TRIXIE, fsck, make_disk, ok, power_off, tool

SEED = int(os.environ.get("LENTIL_SEED", "6"))

# Writes, renames, removes, and promises: `promised N` is said when fsync of kept-N has returned. $2 says where else.
STORM = r"""
cd /mnt; i=$1
while :; do
  i=$((i+1))
  dd if=/dev/urandom of=new bs=1k count=$((i % 40 + 1)) 2>/dev/null
  s=$(sha256sum < new); mv new "kept-$i"; sync "kept-$i" || exit
  if [ -n "$2" ]; then printf '%-500s\n' "promised $i $s" | dd of=$2 conv=notrunc 2>/dev/null; fi
  echo "promised $i $s"
  mkdir -p d$((i % 7)); for n in 1 2 3 4 5; do echo $i > d$((i % 7))/f$n-$((i % 50)); done
  [ $((i % 5)) -ne 0 ] || rm -rf d$(((i + 3) % 7))
  [ $i -lt 45 ] || { rm -f "kept-$((i - 40))"; }
  cp "kept-$i" grow-$((i % 3)); cat "kept-$i" >> log; [ $((i % 20)) -ne 0 ] || : > log
done
"""
KEPT = 38  # so many promises hold at any time: the one before may be on its way out


def start_storm(machine, device, last, marks=""):
    machine.wait_for_shell()
    ok(machine, MOUNT.replace("/dev/vda", device))
    machine.run("cat > /storm.sh <<'END'\n" + STORM.strip() + "\nEND\n:")
    machine.send(f"sh /storm.sh {last} {marks}\n")
    machine.expect(r"promised \d+ ")


@boot_test("after a power cut at any moment the journal makes the disk whole, and what fsync promised is there")
def power_cuts():
    cuts = int(os.environ.get("LENTIL_POWER_CUTS", "1"))
    rng = random.Random(SEED)
    path = make_disk("cuts", "-b", "4096" if SEED % 2 else "1024")
    last = 0
    for cut in range(cuts):
        with Machine(f"power cut {cut}", kernel=RELEASE, disk=path, memory="128M", smp=2) as machine:
            start_storm(machine, "/dev/vda", last)
            time.sleep(rng.uniform(0, 4))
            qemu.stop(machine.process)
            machine.reader.join(10)
            promised = re.findall(r"^promised (\d+) ([0-9a-f]{64})\s+-\r?\n", machine.output.decode(errors="replace"), re.M)
        check(promised, "nothing was written")
        last = int(promised[-1][0])
        fsck(path, f"after cut {cut}")
        with Machine(f"after cut {cut}", kernel=RELEASE, disk=path, memory="128M", smp=2) as machine:
            machine.wait_for_shell()
            ok(machine, MOUNT)
            for number, wanted in promised[-KEPT:]:
                check(wanted in ok(machine, f"sha256sum /mnt/kept-{number}"), f"cut {cut}: kept-{number} is not as promised")
            ok(machine, "rm -f /mnt/kept-*") # many rounds would fill the disk
            power_off(machine)
        fsck(path, f"after replay {cut}")
        last += 100
    os.remove(path)


# ---- all that a disk may hold ------------------------------------------------------------------------------------------

FIRST, COUNT = 4096, 32 * MIB // 512  # the file system's partition
MARKS = 2048                          # the partition before it, which gets the promises


class Record:
    """What QEMU's blklogwrites recorded: the writes to the file system as (sector, bytes), None for a flush, and a string for
    a promise."""

    def __init__(self, path):
        self.events = []
        with open(path, "rb") as file:
            data = file.read()
        at = 512
        while at + 512 <= len(data):
            sector, count, flags, _ = struct.unpack_from("<QQQQ", data, at)
            at += 512
            body = data[at:at + count * 512]
            if flags & 4 or count == 0:
                if flags & 1:
                    self.events.append(None)
                continue
            if len(body) < count * 512:
                break  # the recorder was stopped here
            at += count * 512
            if sector >= FIRST:
                self.events.append((sector - FIRST, body))
            elif found := re.match(rb"promised (\d+) ([0-9a-f]{64})", body):
                self.events.append(f"{int(found[1])} {found[2].decode()}")
            if flags & 3:
                self.events.append(None)


def put(image, write, piece=0, rng=None, keep=1.0):
    """Applies a write, or only some of its pieces."""
    sector, body = write
    for at in range(0, len(body), piece or len(body)):
        if keep == 1 or rng.random() < keep:
            part = body[at:at + (piece or len(body))]
            image[sector * 512 + at:sector * 512 + at + len(part)] = part


def promises_broken(path, promised):
    """Those files that are not in the image as they were promised; the journal is replayed."""
    into = path + ".d"
    os.makedirs(into, exist_ok=True)
    script = "".join(f"dump kept-{number} {into}/{number}\n" for number, _ in promised)
    subprocess.run(["debugfs", "-f", "-", path], input=script, text=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=E2FS_PATH, check=False)
    broken = []
    for number, wanted in promised:
        try:
            with open(f"{into}/{number}", "rb") as file:
                data = file.read()
            os.remove(f"{into}/{number}")
        except FileNotFoundError:
            data = b"none"
        if hashlib.sha256(data).hexdigest() != wanted:
            broken.append(number)
    return broken


def crash_states(base, record, count, rng, piece):
    """Pictures of a disk whose power went, each with the promises that had been given by then. Most are of the moment before
    a flush, when the most is under way; in many of these the last write came through and others did not."""
    events = record.events
    flushes = [i for i, event in enumerate(events) if event is None and i > 0 and events[i - 1] is not None]
    cuts = set(rng.sample(flushes, min(len(flushes), count * 3 // 4)))
    cuts |= set(rng.sample(range(1, len(events)), min(len(events) - 1, count - len(cuts))))
    image, since, promised = bytearray(base), [], []
    for number, event in enumerate(events):
        if number in cuts:
            picture = bytearray(image)
            keep, last = rng.choice([0, 0.1, 0.5, 0.9, 1]), rng.random() < 0.5
            for i, write in enumerate(since):
                put(picture, write, piece, rng, 1 if last and i + 1 == len(since) else keep)
            yield f"event {number} of {len(events)}, {keep} of {len(since)} writes{' and the last' * last}", picture, promised[-KEPT:]
        if event is None:
            for write in since:
                put(image, write)
            since = []
        elif isinstance(event, str):
            promised.append(event.split())
        else:
            since.append(event)


def record_storm(name, options, seconds):
    """A disk with two partitions and the record of a storm on the second; returns what the second held at first."""
    fs = make_disk(name + "-fs", *options, size=COUNT * 512)
    with open(fs, "rb") as file:
        base = file.read()
    os.remove(fs)
    path, log = os.path.join(LOGS, name + ".img"), os.path.join(LOGS, name + ".log-writes")
    entries = b"".join(struct.pack("<B3sB3sII", 0, b"", 0x83, b"", first, count)
                       for first, count in ((MARKS, FIRST - MARKS), (FIRST, COUNT)))
    with open(path, "wb") as file:
        file.write(bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa")
        file.seek(FIRST * 512)
        file.write(base)
    with open(log, "wb"):
        pass
    recorder = ["-blockdev", "driver=blklogwrites,node-name=recorder,log-sector-size=512,"
                f"file.driver=file,file.filename={path},log.driver=file,log.filename={log}",
                "-device", "virtio-blk-device,drive=recorder"]
    with Machine("recorded storm " + name, kernel=RELEASE, memory="128M", smp=2, more=recorder) as machine:
        start_storm(machine, "/dev/vda2", 0, "/dev/vda1")
        time.sleep(seconds * SLOWNESS)
        machine.expect(r"promised \d+ ")
        qemu.stop(machine.process)
    os.remove(path)
    record = Record(log)
    os.remove(log)
    return base, record


def replay_by_kernel(name, pictures):
    """The kernel itself replays these pictures, all in one machine; the promises hold and e2fsck is content."""
    more = []
    paths = []
    for number, (_, picture, _) in enumerate(pictures):
        paths.append(os.path.join(LOGS, f"{name}-{number}.img"))
        with open(paths[-1], "wb") as file:
            file.write(b"disk %d\n" % number + picture[7:])  # says which it is where a boot loader would be
        more += ["-drive", f"file={paths[-1]},if=none,format=raw,id=d{number}", "-device", f"virtio-blk-device,drive=d{number}"]
    with Machine("replayed " + name, kernel=RELEASE, initrd=TEST_INITRD, memory="128M", smp=2, more=more) as machine:
        machine.wait_for_shell()
        ok(machine, "set -e; mkdir -p /all; for d in /dev/vd?; do n=/all/$(head -c 6 $d | cut -c 6); mkdir $n; "
                    "mount -t ext4 $d $n; done; set +e")
        output = ok(machine, "cd /all; sha256sum */kept-*; cd /; umount /all/*")
        power_off(machine)
    there = {}
    for sum_, disk, number in re.findall(r"^([0-9a-f]{64})  (\d)/kept-(\d+)$", output, re.M):
        there.setdefault(disk, {})[number] = sum_
    for number, (where, _, promised) in enumerate(pictures):
        fsck(paths[number], f"after our replay, {where}")
        os.remove(paths[number])
        broken = [n for n, wanted in promised if there.get(str(number), {}).get(n) != wanted]
        check(not broken, f"{where}: not as promised after our replay: {broken}")


def all_states(name, options, seconds, count, piece):
    rng = random.Random(SEED)
    base, record = record_storm(name, options, seconds)
    flushes, promises = record.events.count(None), sum(isinstance(e, str) for e in record.events)
    check(flushes > 20 and promises > 5, f"the recorder saw {flushes} flushes and {promises} promises")
    path = os.path.join(LOGS, name + ".state")
    chosen = []
    for where, picture, promised in crash_states(base, record, count, rng, piece):
        with open(path, "wb") as file:
            file.write(picture)
        where += f" (kept as {path})"
        code, text = tool("e2fsck", "-fy", "-E", "journal_only", path)
        check(code in (0, 1) and "checksum" not in text, f"the journal's replay, {where}: {' | '.join(text.splitlines()[:12])}")
        code, text = tool("e2fsck", "-fn", path)
        check(code == 0, f"e2fsck, {where}: {' | '.join(text.splitlines()[:12])}")
        broken = promises_broken(path, promised)
        check(not broken, f"{where}: not as promised: {broken}")
        chosen.append((where, picture, promised))
        if len(chosen) > 8:
            chosen.pop(rng.randrange(len(chosen)))
    os.remove(path)
    replay_by_kernel(name, chosen)
    print(f"       ({name}: {len(record.events)} events, {flushes} flushes, {promises} promises)", flush=True)


@boot_test("whatever part of the writes since the last flush a power cut keeps, the disk is whole and fsync's promises hold")
def flush_order():
    count = int(os.environ.get("LENTIL_POWER_STATES", "48"))
    if SEED % 2:
        all_states("order-4k", ["-b", "4096", *TRIXIE], count / 12, count, 4096)
    else:
        all_states("order-1k", ["-b", "1024"], count / 12, count, 1024)
