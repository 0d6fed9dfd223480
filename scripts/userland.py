#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a root file system on a disk image from unmodified Debian 13 packages for riscv64, as scripts/packages fetches them.

No maintainer script runs (that would take root or an emulator): what matters of them is done here, plainly. Users and groups
come from base-passwd's own lists; the links that update-alternatives would make from ALTERNATIVES below; there is no
/etc/ld.so.cache, since the loader finds Debian's folders by itself. The first process is busybox's init."""
import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUSYBOX = os.path.join(TOP, "third_party/busybox/busybox")
ENVIRONMENT = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}

# NAME: (packages, size of the disk in MiB). `debian-small` is what scripts/test boots; `debian-self` has what Lentil is built
# with, `debian-python` CPython's own tests.
SMALL = ("base-files base-passwd bash bsdextrautils bsdutils coreutils dash diffutils findutils gawk grep gzip hostname less libc-bin login lua5.4 "
         "mount ncurses-base ncurses-bin passwd perl-base procps sed sqlite3 tar util-linux xz-utils")
LARGE = SMALL + " python3 git make gcc g++ binutils strace gdb vim-tiny nano htop file patch bc jq tmux"
USERLANDS = {"debian-small": (SMALL, 1024), "debian": (LARGE, 4096), "debian-self": (LARGE + " meson ninja-build doctest-dev", 8192),
             "debian-python": (LARGE + " libpython3.13-testsuite", 4096)}

# Link: the first of these that is there.
ALTERNATIVES = {
    "usr/bin/awk": ["gawk", "mawk"], "usr/bin/pager": ["less"], "usr/bin/vi": ["vim.tiny"], "usr/bin/editor": ["vim.tiny", "nano"],
    "usr/bin/view": ["vim.tiny"], "usr/bin/cc": ["gcc"], "usr/bin/c++": ["g++"], "usr/bin/lua": ["lua5.4"], "usr/bin/luac": ["luac5.4"],
    "usr/bin/which": ["which.debianutils"], "usr/bin/sh": ["dash"], "usr/bin/lastlog": ["lastlog2"], "usr/bin/w": ["w.procps"],
}
# Applets for what no package above has, and for init.
APPLETS = {"usr/sbin": ["init", "poweroff", "reboot", "halt"], "usr/bin": ["vi", "ping", "which", "awk", "ps"]}

FILES = {
    "etc/hostname": "lentil\n",
    "etc/hosts": "127.0.0.1 localhost lentil\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\nproc /proc proc defaults 0 0\ndevpts /dev/pts devpts gid=5,mode=620,ptmxmode=666 0 0\n"
                 "tmpfs /dev/shm tmpfs nosuid,nodev 0 0\ntmpfs /run tmpfs nosuid,nodev,mode=755 0 0\ntmpfs /tmp tmpfs nosuid,nodev 0 0\n",
    "etc/shells": "/bin/sh\n/bin/bash\n/bin/dash\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    "etc/profile": """# Read by login shells.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
export TERM="${TERM:-vt100}"
[ "$TERM" != linux ] || TERM=vt100
if [ -n "$BASH_VERSION" ]; then PS1='\\h:\\w\\$ '; else PS1='lentil:$PWD# '; fi
for i in /etc/profile.d/*.sh; do [ ! -r "$i" ] || . "$i"; done
unset i
""",
    "etc/inittab": """::sysinit:/etc/rc
ttyS0::respawn:/usr/bin/login -f root
::ctrlaltdel:/usr/sbin/reboot
::shutdown:/etc/rc.shutdown
""",
    # What pam-auth-update would make.
    "etc/pam.d/common-auth": "auth required pam_unix.so nullok\n",
    "etc/pam.d/common-account": "account required pam_unix.so\n",
    "etc/pam.d/common-password": "password required pam_unix.so yescrypt\n",
    "etc/pam.d/common-session": "session required pam_unix.so\n",
    "etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
    "etc/rc": """#!/bin/sh
# What init runs first.
export PATH=/usr/sbin:/usr/bin
for type in proc:/proc sysfs:/sys devpts:/dev/pts tmpfs:/dev/shm tmpfs:/run tmpfs:/tmp; do
    case $type in
    devpts:*) options="-o gid=5,mode=620,ptmxmode=666" ;;
    tmpfs:/run) options="-o nosuid,nodev,mode=755" ;;
    tmpfs:*) options="-o nosuid,nodev" ;;
    *) options= ;;
    esac
    mkdir -p "${type#*:}"
    # shellcheck disable=SC2086
    busybox mount -t "${type%%:*}" $options "${type%%:*}" "${type#*:}"
done
mkdir -p /run/lock
hostname "$(cat /etc/hostname)"
export HOME=/root
if [ -n "$run" ]; then # run=COMMAND on the kernel's command line: that, and power off
    sh -c "$run" </dev/console >/dev/console 2>&1
    poweroff
fi
""",
    "etc/rc.shutdown": """#!/bin/sh
# What init runs last: everything was told to end.
busybox sync
busybox umount -a -r 2>/dev/null
""",
    "root/.bashrc": "",
}


def fetched(names):
    done = subprocess.run([os.path.join(TOP, "scripts/packages"), "--whole", *names.split()], check=True, stdout=subprocess.PIPE,
                          text=True)
    return done.stdout.splitlines()


def write(root, path, text, mode=0o644):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    if os.path.lexists(full):
        os.remove(full)
    with open(full, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(full, mode)


def link(root, path, target):
    full = os.path.join(root, path)
    if not os.path.lexists(full):
        os.makedirs(os.path.dirname(full), exist_ok=True)
        os.symlink(target, full)


def fill(root, folders):
    """The packages, merged as dpkg would, and then what their scripts would have made."""
    for name in ("bin", "sbin", "lib"):
        os.makedirs(os.path.join(root, "usr", name))
        os.symlink("usr/" + name, os.path.join(root, name))
    for folder in folders:
        # cp follows the links above, where a package still has /bin or /lib itself.
        for name in sorted(os.listdir(folder)):
            if name in ("bin", "sbin", "lib", "lib64") and os.path.islink(os.path.join(folder, name)):
                continue
            into = os.path.join(root, name)
            os.makedirs(into, exist_ok=True)
            subprocess.run(["cp", "-a", os.path.join(folder, name) + "/.", into + "/"], check=True)
    for name, mode in (("dev", 0o755), ("proc", 0o555), ("sys", 0o555), ("run", 0o755), ("tmp", 0o1777), ("root", 0o700),
                       ("mnt", 0o755), ("home", 0o755), ("var/tmp", 0o1777), ("var/lib", 0o755), ("var/log", 0o755)):
        os.makedirs(os.path.join(root, name), exist_ok=True)
        os.chmod(os.path.join(root, name), mode)
    link(root, "var/run", "/run")
    link(root, "etc/mtab", "../proc/self/mounts")
    masters = os.path.join(root, "usr/share/base-passwd")
    for name in ("passwd", "group"):
        with open(os.path.join(masters, name + ".master"), encoding="utf-8") as file:
            text = file.read()
        write(root, "etc/" + name, text.replace("root:*:0:0:root:/root:/bin/sh", "root::0:0:root:/root:/bin/bash"))
    for path, text in FILES.items():
        write(root, path, text, 0o755 if text.startswith("#!") else 0o644)
    shutil.copy(BUSYBOX, os.path.join(root, "usr/bin/busybox"))
    for path, choices in ALTERNATIVES.items():
        for choice in choices:
            if os.path.lexists(os.path.join(root, "usr/bin", choice)):
                link(root, path, choice)
                break
    for folder, names in APPLETS.items():
        for name in names:
            link(root, f"{folder}/{name}", "/usr/bin/busybox")


def owned_by_root(image, root):
    """Whoever builds the image, everything in it is root's."""
    if os.getuid() == 0:
        return
    lines = []
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = "/" + os.path.relpath(os.path.join(folder, name), root)
            lines += [f'sif "{path}" uid 0', f'sif "{path}" gid 0']
    subprocess.run(["debugfs", "-w", "-f", "-", image], input="\n".join(lines) + "\n", text=True, check=True, env=ENVIRONMENT,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make(name, image=None):
    """The image of userland `name`, made anew only if what it is made from has changed. Returns its path."""
    image = image or os.path.join(TOP, "build", name + ".img")
    os.makedirs(os.path.dirname(image), exist_ok=True)
    with open(image + ".lock", "w", encoding="utf-8") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        return make_alone(name, image)


def make_alone(name, image):
    packages, size = USERLANDS[name]
    folders = fetched(packages)
    with open(os.path.abspath(__file__), "rb") as file:
        recipe = hashlib.sha256(file.read() + "\n".join(folders).encode()).hexdigest()
    if os.path.exists(image) and os.path.exists(image + ".recipe"):
        with open(image + ".recipe", encoding="utf-8") as file:
            if file.read() == recipe:
                return image
    root = image + ".tree"
    subprocess.run(["rm", "-rf", root], check=True)
    os.makedirs(root)
    fill(root, folders)
    with open(image + ".new", "wb") as file:
        file.truncate(size << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "lentil-root", "-E", "root_owner=0:0", "-d", root, image + ".new"], check=True,
                   env=ENVIRONMENT, stdin=subprocess.DEVNULL)
    owned_by_root(image + ".new", root)
    subprocess.run(["rm", "-rf", root], check=True)
    os.replace(image + ".new", image)
    with open(image + ".recipe", "w", encoding="utf-8") as file:
        file.write(recipe)
    return image


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("userland", nargs="?", default="debian", choices=USERLANDS)
    parser.add_argument("--output", "-o", metavar="FILE", help="default: build/NAME.img")
    options = parser.parse_args()
    print(make(options.userland, options.output))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
