# What says "not now" on a host. Shared by the probe and by the guard, so that the two never disagree.
# POSIX sh (dash, busybox). Prints lines `WORD VALUE`; reads only.
LC_ALL=C
PATH=${DORMOUSE_PATH:+$DORMOUSE_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
# Empty, except in tests.
root=${DORMOUSE_ROOT:-}

# One untrusted line, printable and short.
plain() { tr -d '\000-\037\177' | cut -c1-200; }

# Every process once. Sets qemu_count and terminals (numbers of pseudo terminals with somebody's processes behind them).
look_at_processes() {
    qemu_count=0
    terminals=' '
    for dir in "$root"/proc/[0-9]*; do
        { read -r stat <"$dir/stat"; } 2>/dev/null || continue
        comm=${stat#*\(}
        comm=${comm%)*}
        # state ppid pgrp session tty: numbers, and one letter.
        set -- ${stat##*) }
        [ "${1:-Z}" = Z ] && continue
        case $comm in qemu-system-* | qemu-kvm* | kvm) qemu_count=$((qemu_count + 1)) ;; esac
        tty=${5:-0}
        major=$(((tty >> 8) & 4095))
        if [ "$major" -ge 136 ] && [ "$major" -le 143 ]; then
            number=$(((tty & 255) + ((tty >> 12) & 1048320) + (major - 136) * 1048576))
            case $terminals in *" $number "*) ;; *) terminals="$terminals$number " ;; esac
        fi
    done
    # libvirt's own list: a QEMU under another name.
    for file in "$root"/run/libvirt/qemu/*.pid; do
        # The daemon keeps its own pid among those of its guests.
        [ "${file##*/}" = driver.pid ] && continue
        pid=
        # The file ends without a line end, which `read` takes for a failure.
        { read -r pid <"$file"; } 2>/dev/null || [ -n "$pid" ] || continue
        case $pid in '' | *[!0-9]*) continue ;; esac
        { read -r stat <"$root/proc/$pid/stat"; } 2>/dev/null || continue
        comm=${stat#*\(}
        case ${comm%)*} in qemu-system-* | qemu-kvm* | kvm) ;; *) qemu_count=$((qemu_count + 1)) ;; esac
    done
}

# `person IDLE_SECONDS`, one line for each login and each terminal in use that no login names (tmux, screen).
people() {
    now=$(date +%s)
    listed=' '
    logins=$(who -u 2>/dev/null || who 2>/dev/null | sed 's/$/ ? 1/')
    while read -r name line rest; do
        [ -n "$line" ] || continue
        idle=0
        before=
        for word in $rest; do
            case $word in
                *[!0-9]*) ;;
                *) case $before in
                    old) idle=86400 ;;
                    [0-9][0-9]:[0-9][0-9])
                        hours=${before%:*}
                        minutes=${before#*:}
                        idle=$((${hours#0} * 3600 + ${minutes#0} * 60))
                        ;;
                esac ;;
            esac
            before=$word
        done
        printf 'person %s\n' "$idle"
        case $line in pts/*) listed="$listed${line#pts/} " ;; esac
    done <<LOGINS
$logins
LOGINS
    for number in $terminals; do
        case $listed in *" $number "*) continue ;; esac
        used=$(stat -c %X "$root/dev/pts/$number" 2>/dev/null) || used=$now
        printf 'person %s\n' "$((now > used ? now - used : 0))"
    done
    # Graphical sessions, which not every `who` lists.
    loginctl list-sessions --no-legend 2>/dev/null | while read -r session rest; do
        case $session in '' | *[!a-z0-9]*) continue ;; esac
        type=$(loginctl show-session "$session" -p Type -p Class --value 2>/dev/null | tr '\n' ' ')
        case $type in *x11*user* | *user*x11* | *wayland*user* | *user*wayland*) ;; *) continue ;; esac
        since=$(loginctl show-session "$session" -p IdleSinceHint --value 2>/dev/null)
        hint=$(loginctl show-session "$session" -p IdleHint --value 2>/dev/null)
        case $hint$since in yes[1-9]*) printf 'person %s\n' "$((now - since / 1000000))" ;; *) echo 'person 0' ;; esac
    done
}

# `inhibitor TEXT`: what blocks shutdown or sleep by name. Delays are not blocks.
inhibitors() {
    systemd-inhibit --list --no-legend --no-pager 2>/dev/null | head -n 50 | while read -r line; do
        case $line in
            *shutdown*block | *sleep*block) printf 'inhibitor %s\n' "$line" | plain ;;
        esac
    done
}

# `package-lock`: a lock of dpkg, apt or rpm is held.
package_locks() {
    [ -r "$root/proc/locks" ] || return 0
    for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock \
        /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock; do
        inode=$(stat -c %i "$root$file" 2>/dev/null) || continue
        if grep -q ":$inode " "$root/proc/locks"; then
            echo package-lock
            return 0
        fi
    done
}

# `resync`: a RAID array works on itself. A pending one waits for its first write and may wait for ever.
resyncs() {
    [ -r "$root/proc/mdstat" ] || return 0
    if grep -E '(resync|recovery|reshape|check) *=' "$root/proc/mdstat" | grep -qv 'PENDING'; then
        echo resync
    fi
}
