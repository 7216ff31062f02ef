#!/bin/sh
# Installs the Debian packages that are missing, and says so before it does.
#
#   tools/deps.sh build   what compiling needs: nothing that runs by itself
#   tools/deps.sh etcd    what compiling with the feature `etcd` needs on top
#   tools/deps.sh lab     what the real lab and the other tests need on top: libvirt, QEMU, sshd, shells, Ganeti's planner,
#                         systemd-analyze and systemd-nspawn, Ansible
#   tools/deps.sh fuzz    cargo-fuzz, for long runs of `make fuzz`; needs a nightly compiler
#
# Nothing is done when nothing is missing. Services that such a package brings (a libvirtd, an sshd) are neither
# started nor enabled: the lab starts its own, in namespaces, and a laptop should not end up with an open port because
# somebody tried a demo. What was installed before is left exactly as it was.
set -eu

BUILD="pkg-config libvirt-dev build-essential"
LAB="libvirt-daemon libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 openssh-server
openssh-client iproute2 iptables kmod xz-utils gnutls-bin busybox-static ganeti-htools systemd systemd-container
etcd-server protobuf-compiler libprotobuf-dev fish ansible-core"
ETCD="protobuf-compiler libprotobuf-dev"
# Units of those packages that would start by themselves.
UNITS="libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirt-guests.service
virtlogd.service virtlogd.socket virtlogd-admin.socket virtlockd.socket virtlockd-admin.socket ssh.service etcd.service"

# Where the system lies; a test has one of its own.
ROOT=${DEPS_ROOT-}

say() { printf '%s\n' "deps: $*" >&2; }

if [ "${1-}" = fuzz ]; then
    if ! cargo +nightly --version >/dev/null 2>&1; then
        say "no nightly compiler, which libFuzzer needs: rustup toolchain install nightly --profile minimal"
        exit 1
    fi
    cargo fuzz --version >/dev/null 2>&1 && exit 0
    say "installing cargo-fuzz into cargo's own folder"
    exec cargo install --locked cargo-fuzz
fi

case "${1-}" in
    build) wanted=$BUILD ;;
    etcd) wanted=$ETCD ;;
    lab) wanted=$LAB ;;
    *)
        echo "usage: tools/deps.sh build|etcd|lab|fuzz" >&2
        exit 2
        ;;
esac

if [ "$1" = build ] && ! command -v cargo >/dev/null 2>&1; then
    say "no cargo on the PATH; install the Rust toolchain from https://rustup.rs, then open a new shell"
    exit 1
fi

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    say "this is not Debian or one of its children; skipped. Wanted, under Debian's names:"
    say "$(echo $wanted)"
    say "without libvirt: cargo run --release -p dormouse --no-default-features -- demo"
    exit 0
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=
for package in $wanted; do
    installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        say "missing:$missing"
        say "there is no sudo here; as root: apt-get install --no-install-recommends$missing"
        exit 1
    fi
    as_root=sudo
fi
say "installing${as_root:+ with sudo}:$missing"

# The units that are here already belong to the user, whatever happens below.
known() { [ -e "$ROOT/lib/systemd/system/$1" ] || [ -e "$ROOT/usr/lib/systemd/system/$1" ]; }
fresh=
for unit in $UNITS; do
    known "$unit" || fresh="$fresh $unit"
done

# Debian asks this file before it starts a service on installation; containers have one that says no already.
policy=$ROOT/usr/sbin/policy-rc.d
ours=
cleanup() { [ -z "$ours" ] || $as_root rm -f "$policy"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
if [ "$1" = lab ] && [ ! -e "$policy" ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi

apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"; }

apt update >&2
# shellcheck disable=SC2086 # a list of words
apt install --no-install-recommends $missing >&2

if [ "$1" = lab ] && command -v systemctl >/dev/null 2>&1; then
    for unit in $fresh; do
        if known "$unit"; then
            $as_root systemctl --quiet disable "$unit" >/dev/null 2>&1 || say "could not disable $unit; look at it"
        fi
    done
fi
say "done"
