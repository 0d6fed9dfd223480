# SPDX-License-Identifier: BSD-2-Clause
# For scripts/setup and scripts/packages to read in: an apt of our own for riscv64, so that the machine's configuration stays
# as it is. The scripts define say and die; $cache is where downloads are kept.
# shellcheck shell=bash
cache=${LENTIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lentil}
suite=trixie # the first release with riscv64
apt_status=      # what apt is to take for installed, as a status file of dpkg says it
mirror_address() {
    if [ -n "${LENTIL_MIRROR:-}" ]; then
        printf '%s\n' "$LENTIL_MIRROR"
        return
    fi
    # The archive itself (label "Debian"), not the one of security updates or of somebody else's packages.
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian|//p' | sort -u | head -n 1
}

# A keyring that knows $suite: the machine's, or the newest one its own apt offers and vouches for.
suite_keyring() {
    local keyring=/usr/share/keyrings/debian-archive-$suite-stable.gpg work
    if [ ! -r "$keyring" ]; then
        keyring=$cache/keyring/usr/share/keyrings/debian-archive-$suite-stable.gpg
        if [ ! -r "$keyring" ]; then
            work=$(mktemp -d "$cache/keyring.XXXXXX")
            (cd "$work" && apt-get download -qq debian-archive-keyring >&2 && dpkg-deb -x ./*.deb tree)
            mkdir -p "$cache/keyring" && cp -r "$work/tree/." "$cache/keyring/"
            rm -rf "$work"
        fi
    fi
    [ -r "$keyring" ] || die "no keyring with $suite's key: please upgrade the package debian-archive-keyring"
    printf '%s\n' "$keyring"
}

private_apt() {
    mkdir -p "$cache/apt/state/lists/partial" "$cache/apt/cache/archives/partial" "$cache/apt/etc"
    printf '%s' "$apt_status" >"$cache/apt/state/status"
    local mirror keyring
    mirror=$(mirror_address)
    if [ -z "$mirror" ]; then
        die "apt names no Debian mirror (has 'apt-get update' been run?); set LENTIL_MIRROR to the address of one"
    fi
    keyring=$(suite_keyring)
    printf '%s\n' "deb [signed-by=$keyring] $mirror $suite main" "deb-src [signed-by=$keyring] $mirror $suite main" \
        >"$cache/apt/etc/sources.list"
    cat >"$cache/apt/etc/apt.conf" <<CONF
Dir::Etc::sourcelist "$cache/apt/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$cache/apt/state";
Dir::State::status "$cache/apt/state/status";
Dir::Cache "$cache/apt/cache";
APT::Architecture "riscv64";
APT::Architectures { "riscv64"; };
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
CONF
    say "reading the package lists of Debian $suite (sources, riscv64)"
    APT_CONFIG=$cache/apt/etc/apt.conf apt-get update -qq
}
apt_private() { APT_CONFIG=$cache/apt/etc/apt.conf apt-get "$@"; }
private_apt_done() { rm -rf "$cache/apt/state/lists" "$cache/apt/cache"; }

# Only one script at a time fills the cache. Names that end in six random characters are unfinished and go at the end.
lock_cache() {
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8
    trap 'rm -rf "$cache"/*.??????' EXIT
}
unlock_cache() { flock -u 8; }
