# The guard: the last look, on the host itself, before it is switched off. Runs once and leaves only its epoch file.
# Words in: `go`. Words out: `closed`, then `off` (and the power goes), or `refuse REASON` lines and `refused` once the
# doors are open again. Without `go` (the manager is gone, frozen or cut off) the doors open again and nothing is lost.
#   $1 off | adopt   $2 cluster id   $3 epoch   $4 seconds after which a login counts as idle
#   $5 the boot it is meant for   $6 seconds of that boot's uptime after which it is void

guard_dir=$root/var/lib/dormouse-guard
run_dir=$root/run/dormouse-guard
nologin=$root/run/nologin
memory=$guard_dir/epoch
lock=$run_dir/lock
doors=$run_dir/doors
patience=${DORMOUSE_GUARD_PATIENCE:-30}
verb=$1 cluster=$2 epoch=$3 login_idle=$4 boot=$5 good_until=$6
locked= going= watch= refused=

units='libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd-tcp.socket libvirtd-tls.socket
virtqemud.service virtqemud.socket virtqemud-ro.socket virtqemud-admin.socket
virtproxyd.service virtproxyd.socket virtproxyd-ro.socket virtproxyd-admin.socket virtproxyd-tcp.socket virtproxyd-tls.socket'

refuse() {
    printf 'refuse %s\n' "$*"
    refused=yes
}

# Nobody logs in and nothing starts a VM from here on. What was running is written down first, so that even another
# guard can open what this one closed. QEMU itself does not care whether libvirt runs.
close_doors() {
    : >"$doors" || return 1
    for unit in $units; do
        systemctl is-active "$unit" >/dev/null 2>&1 && echo "$unit" >>"$doors"
    done
    if [ ! -e "$nologin" ]; then
        echo nologin >>"$doors" && echo 'This host is about to be switched off to save power.' >"$nologin" || return 1
    fi
    active=$(grep -v '^nologin$' "$doors" | tr '\n' ' ')
    [ -z "$active" ] && return 0
    # One transaction: a service whose socket still listens would come back with the next connection.
    # shellcheck disable=SC2086
    systemctl stop $active >/dev/null 2>&1 || return 1
    for unit in $active; do
        systemctl is-active "$unit" >/dev/null 2>&1 && return 1
    done
    return 0
}

open_doors() {
    [ -e "$doors" ] || return 0
    # Sockets first: they are what the service inherits.
    closed=$(grep '\.socket$' "$doors" | tr '\n' ' ')
    services=$(grep '\.service$' "$doors" | tr '\n' ' ')
    bad=
    # shellcheck disable=SC2086
    if [ -n "$closed" ]; then systemctl start $closed >/dev/null 2>&1 || bad=yes; fi
    # shellcheck disable=SC2086
    if [ -n "$services" ]; then systemctl start $services >/dev/null 2>&1 || bad=yes; fi
    if grep -q '^nologin$' "$doors"; then rm -f "$nologin" || bad=yes; fi
    [ -z "$bad" ] && rm -f "$doors"
    [ -z "$bad" ]
}

leave() {
    trap '' HUP INT TERM PIPE EXIT
    [ -n "$watch" ] && kill "$watch" 2>/dev/null
    opened=
    if [ -z "$going" ] && [ -n "$locked" ]; then open_doors && opened=yes; fi
    [ -n "$locked" ] && rm -rf "$lock"
    [ -n "$opened" ] && [ -n "$refused" ] && echo refused
    exit 0
}

take_lock() {
    mkdir -p "$run_dir" "$guard_dir" || return 1
    if mkdir "$lock" 2>/dev/null; then
        locked=yes
        echo $$ >"$lock/pid"
        return 0
    fi
    # A guard that was killed opens nothing: its successor does.
    { read -r holder <"$lock/pid"; } 2>/dev/null || holder=
    case $holder in '' | *[!0-9]*) ;; *) [ -d "$root/proc/$holder" ] && return 1 ;; esac
    mv "$lock" "$lock.$$" 2>/dev/null && rm -rf "$lock.$$" && mkdir "$lock" 2>/dev/null || return 1
    locked=yes
    echo $$ >"$lock/pid"
}

known() {
    known_cluster= known_epoch=0
    [ -e "$memory" ] || return 0
    read -r known_cluster known_epoch <"$memory" || return 1
    # More digits than the shell can compare are damage, too.
    case $known_epoch in '' | *[!0-9]* | ???????????????????*) return 1 ;; esac
}

remember() {
    printf '%s %s\n' "$cluster" "$epoch" >"$memory.new" && sync "$memory.new" 2>/dev/null
    mv -f "$memory.new" "$memory" && { sync "$guard_dir" 2>/dev/null || :; }
}

check_epoch() {
    if ! known; then
        refuse "doors cannot read $memory"
    elif [ -n "$known_cluster" ] && [ "$known_cluster" != "$cluster" ]; then
        refuse cluster
    elif [ "$known_epoch" -gt "$epoch" ]; then
        refuse "epoch $known_epoch"
    fi
}

# A command that was under way for too long may be that of a manager that leads no longer, and of whose successor this
# host has not heard. Both numbers are of this host's own clock, so nobody's clocks have to agree.
check_time() {
    now_boot= now_up=
    { read -r now_boot <"$root/proc/sys/kernel/random/boot_id"; } 2>/dev/null
    { read -r now_up rest <"$root/proc/uptime"; } 2>/dev/null
    now_up=${now_up%%.*}
    # What cannot be read or compared is late.
    case $now_up in '' | *[!0-9]* | ???????????????????*) now_boot= ;; esac
    case $good_until in '' | *[!0-9]* | ???????????????????*) now_boot= ;; esac
    if [ -z "$now_boot" ] || [ "$now_boot" != "$boot" ] || [ "$now_up" -ge "$good_until" ]; then refuse late; fi
}

# `autostart COUNT`: definitions that libvirt starts by itself at the next boot, also where their VMs run elsewhere by then.
# A move takes the mark with the definition, so what is left here belongs to VMs that are stopped, or were left behind.
autostarts() {
    count=0
    for file in "$root"/etc/libvirt/qemu/autostart/*; do
        [ -e "$file" ] || [ -L "$file" ] || continue
        count=$((count + 1))
    done
    [ "$count" -gt 0 ] && echo "autostart $count"
    return 0
}

look() {
    look_at_processes
    [ "$qemu_count" -gt 0 ] && refuse "qemu $qemu_count"
    busy=0
    for idle in $(people | cut -d' ' -f2); do
        [ "$idle" -lt "$login_idle" ] && busy=$((busy + 1))
    done
    [ "$busy" -gt 0 ] && refuse "people $busy"
    reasons=$(autostarts; inhibitors; package_locks; resyncs)
    if [ -n "$reasons" ]; then
        refused=yes
        printf '%s\n' "$reasons" | sed 's/^/refuse /'
    fi
}

power_off() {
    systemctl poweroff >/dev/null 2>&1 || poweroff >/dev/null 2>&1
}

# All of it is read before any of it runs: what follows on standard input are the manager's words.
main() {
    echo hello guard
    trap leave HUP INT TERM PIPE EXIT
    if ! take_lock; then
        refuse 'doors another guard is at work'
        echo refused
        exit
    fi
    if [ "$verb" = adopt ]; then
        remember && echo adopted
        exit
    fi
    [ "$verb" = off ] || exit
    # Doors that a killed guard left closed count as open, to be closed anew.
    open_doors
    check_epoch
    check_time
    [ -z "$refused" ] && look
    [ -n "$refused" ] && exit
    # Whoever waits for us must not wait with the doors closed.
    (
        trap - HUP INT TERM PIPE EXIT
        sleep "$patience"
        kill -TERM $$
    ) </dev/null >/dev/null 2>&1 &
    watch=$!
    if ! close_doors; then
        refuse 'doors a service would not stop'
        exit
    fi
    echo closed
    read -r word || exit
    [ "$word" = go ] || exit
    # Nothing can start any more: what is not here now will not be here later.
    check_epoch
    look
    # Last of all, since looking takes time, too.
    check_time
    [ -n "$refused" ] && exit
    if ! remember; then
        refuse "doors cannot write $memory"
        exit
    fi
    kill "$watch" 2>/dev/null
    trap '' HUP INT TERM PIPE
    echo off
    if power_off; then
        going=yes
        # A host that never goes must not stay closed.
        (
            trap - EXIT
            sleep "${DORMOUSE_GUARD_REOPEN:-300}"
            open_doors
        ) </dev/null >/dev/null 2>&1 &
    else
        echo stayed
    fi
    exit
}
main; exit
