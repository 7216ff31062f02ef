# The probe: one held channel per host. Reads words, answers in lines, changes nothing.
# Words in: `path P` (a folder of the shared storage, remembered), `look`. Lines out: see `answer.rs`; `end` closes an answer.

# What stays the same while the host is up.
identify() {
    read -r boot <"$root/proc/sys/kernel/random/boot_id"
    # In libvirt's own order, so that a host keeps its name when libvirt is down.
    machine=$(sed -n 's/^ *host_uuid *= *"\([0-9a-fA-F-]*\)".*/\1/p' "$root/etc/libvirt/libvirtd.conf" "$root/etc/libvirt/virtqemud.conf" 2>/dev/null | tail -n 1)
    case $machine in *[!0-]*) ;; *) machine=$(cat "$root/sys/class/dmi/id/product_uuid" 2>/dev/null) ;; esac
    case $machine in *[!0fF-]*) ;; *) machine=$(cat "$root/etc/machine-id" 2>/dev/null) ;; esac
    cpus=$(grep -c '^processor' "$root/proc/cpuinfo")
}

# Whether libvirt locks the disks of running VMs: what its configuration says, since that is what it acts by.
disk_lock() {
    case $(sed -n 's/^ *lock_manager *= *"\([a-z]*\)".*/\1/p' "$root/etc/libvirt/qemu.conf" 2>/dev/null | tail -n 1) in
        lockd | sanlock) echo 'disk-lock yes' ;;
        *) echo 'disk-lock no' ;;
    esac
}

# A card made of others: a VLAN, a bond.
is_made() {
    while read -r line; do
        case $line in DEVTYPE=vlan | DEVTYPE=bond) return 0 ;; esac
    done <"$1"
    return 1
} 2>/dev/null

network() {
    wake=
    for dir in "$root"/sys/class/net/*; do
        name=${dir##*/}
        [ "$name" = lo ] && continue
        [ -e "$dir/tun_flags" ] && continue
        # What VMs can be plugged into; the ends of containers come and go.
        if [ -d "$dir/bridge" ] || [ -e "$dir/device" ] || is_made "$dir/uevent"; then
            case $name in *[![:graph:]]*) ;; *) printf 'link %s\n' "$name" ;; esac
        fi
        [ -d "$dir/bridge" ] && continue
        { read -r type <"$dir/type"; } 2>/dev/null || continue
        [ "$type" = 1 ] || continue
        { read -r mac <"$dir/address"; } 2>/dev/null && printf 'mac %s\n' "$mac"
        [ -e "$dir/device" ] || continue
        case $(ethtool "$name" 2>/dev/null | sed -n 's/^[[:space:]]*Wake-on: *//p') in
            *g*) wake=yes ;;
            ?*) wake=${wake:-no} ;;
            *)
                { read -r state <"$dir/device/power/wakeup"; } 2>/dev/null || continue
                if [ "$state" = enabled ]; then wake=yes; else wake=${wake:-no}; fi
                ;;
        esac
    done
    [ -n "$wake" ] && printf 'wake %s\n' "$wake"
}

# A folder of the shared storage. It is there when it is a mount point itself, or holds the file `.dormouse-shared` (for
# folders inside a mount): an empty folder where a mount is missing is neither. A dead file server holds whoever asks for
# ever, beyond any kill: so a child asks, and a new one only when the one before came back.
storage() {
    place=$1
    path=${2%/}
    mounted=
    while read -r device point rest; do
        [ "$point" = "$path" ] && mounted=yes
    done <"$root/proc/self/mounts"
    eval "asked=\${asker_$place:-}"
    tries=0
    if [ -n "$asked" ] && busy "$asked"; then
        tries=20
    else
        { [ -e "$path/.dormouse-shared" ] || { [ -n "$mounted" ] && ls -d -- "$path/."; }; } >/dev/null 2>&1 </dev/null &
        asked=$!
        eval "asker_$place=\$asked"
    fi
    while busy "$asked"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 20 ]; then
            printf 'storage %s hung\n' "$place"
            return
        fi
        sleep 0.05
    done
    eval "asker_$place="
    if wait "$asked"; then
        printf 'storage %s ok\n' "$place"
    elif [ -n "$mounted" ]; then
        printf 'storage %s unreadable\n' "$place"
    else
        printf 'storage %s missing\n' "$place"
    fi
}

busy() {
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    case ${line##*) } in Z*) return 1 ;; esac
    return 0
}

# Certificates seldom change, and asking takes five processes: asked again when our note changes, and now and then.
tls_now_and_then() {
    note=
    { read -r note <"$root/etc/pki/libvirt/dormouse.note"; } 2>/dev/null
    if [ "$tls_looks" -eq 0 ] || [ "$note" != "$tls_note" ]; then
        tls_note=$note
        tls_said=$(tls)
        tls_looks=10
    fi
    tls_looks=$((tls_looks - 1))
    [ -n "$tls_said" ] && printf '%s\n' "$tls_said"
}

look() {
    printf 'boot %s\nmachine %s\ncpus %s\n' "$boot" "$machine" "$cpus"
    # Before all that is looked at: how old the answer may be is told from it.
    read -r up rest <"$root/proc/uptime" && printf 'uptime %s\n' "$up"
    read -r one five fifteen rest <"$root/proc/loadavg" && printf 'load15 %s\n' "$fifteen"
    while read -r key value unit; do
        case $key in
            MemTotal:) printf 'mem %s\n' "$value" ;;
            MemAvailable:)
                printf 'available %s\n' "$value"
                break
                ;;
        esac
    done <"$root/proc/meminfo"
    read -r key value <"$root/proc/stat" && printf 'stat %s\n' "$value"
    printf 'time %s\n' "$(date +%s.%N)"
    network
    disk_lock
    tls_now_and_then
    look_at_processes
    people
    inhibitors
    package_locks
    resyncs
    { read -r cluster epoch <"$root/var/lib/dormouse-guard/epoch"; } 2>/dev/null && printf 'guard %s %s\n' "$cluster" "$epoch" | plain
    count=0
    while [ "$count" -lt "$paths" ]; do
        eval "path=\$path_$count"
        storage "$count" "$path"
        count=$((count + 1))
    done
    echo end
}

# All of it is read before any of it runs: what follows on standard input are words.
main() {
    paths=0
    tls_looks=0
    tls_note=
    identify
    echo hello probe
    while read -r verb rest; do
        case $verb in
            path)
                # Only numbers of ours are ever evaluated; the path itself is a value.
                eval "path_$paths=\$rest"
                paths=$((paths + 1))
                ;;
            look) look ;;
            *) exit ;;
        esac
    done
}
main; exit
