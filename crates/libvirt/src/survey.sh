# The survey: once, for `dormouse doctor`. Looks at what a host needs beforehand; changes nothing, and asks for nothing that
# could hang but in a child that is waited for a second. Words in: `path P`, `look`. Lines out: see `survey.rs`; `end` closes.

# Whether a folder answers within a second; who hangs on it is left behind.
answers() {
    ls -d -- "$1/." </dev/null >/dev/null 2>&1 &
    child=$!
    tries=0
    while busy "$child"; do
        tries=$((tries + 1))
        [ "$tries" -gt 20 ] && return 1
        sleep 0.05
    done
    wait "$child"
}

busy() {
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    case ${line##*) } in Z*) return 1 ;; esac
    return 0
}

setting() { sed -n "s/^ *$2 *= *\"\{0,1\}\([A-Za-z0-9_.-]*\).*/\1/p" "$1" 2>/dev/null | tail -n 1; }

# Where the folder comes from and which it is there: the same on two hosts, or it is not the same folder.
folder() {
    source=-
    while read -r device point type rest; do
        [ "$point" = "$2" ] && source="$type:$device"
    done <"$root/proc/self/mounts"
    answers "$2" || return
    number=$(stat -c %i -- "$2/." 2>/dev/null)
    case $number in '' | *[!0-9]*) return ;; esac
    free=$(df -Pk -- "$2" 2>/dev/null | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\).*/\1/p')
    case $free in '' | *[!0-9]*) free=0 ;; esac
    printf 'folder %s %s %s %s\n' "$1" "$number" "$free" "$source" | plain
}

cards() {
    for dir in "$root"/sys/class/net/*; do
        name=${dir##*/}
        [ -e "$dir/device" ] || continue
        told=$(ethtool "$name" 2>/dev/null)
        can=$(printf '%s\n' "$told" | sed -n 's/^[[:space:]]*Supports Wake-on: *\([a-z]*\).*/\1/p')
        set=$(printf '%s\n' "$told" | sed -n 's/^[[:space:]]*Wake-on: *\([a-z]*\).*/\1/p')
        printf 'card %s %s %s\n' "$name" "${can:--}" "${set:--}" | plain
    done
}

# A certificate that migration over TLS needs: `ok`, `ends` within two weeks, or `missing`.
certificate() {
    if [ ! -r "$root$2" ]; then
        echo "certificate $1 missing"
    elif command -v openssl >/dev/null 2>&1 && ! openssl x509 -noout -checkend 1209600 -in "$root$2" >/dev/null 2>&1; then
        echo "certificate $1 ends"
    else
        echo "certificate $1 ok"
    fi
}

look() {
    printf 'user %s\n' "$(id -u)"
    # 16514 is 4082 in hexadecimal, 0A a port that listens.
    if grep -Eq '^ *[0-9]+: [0-9A-F]+:4082 [0-9A-F]+:0000 0A ' "$root/proc/net/tcp" "$root/proc/net/tcp6" 2>/dev/null; then
        echo 'tls yes'
    else
        echo 'tls no'
    fi
    certificate ca /etc/pki/CA/cacert.pem
    certificate server /etc/pki/libvirt/servercert.pem
    certificate client /etc/pki/libvirt/clientcert.pem
    lock=$(setting "$root/etc/libvirt/qemu.conf" lock_manager)
    printf 'lock %s\n' "${lock:--}"
    printf 'processor %s %s\n' "$(grep -m1 '^flags' "$root/proc/cpuinfo" | tr ' ' '\n' | sort | cksum | cut -d' ' -f1)" \
        "$(sed -n 's/^model name[[:space:]]*: *//p' "$root/proc/cpuinfo" | head -n 1)" | plain
    cards
    for file in "$root/etc/default/libvirt-guests" "$root/etc/sysconfig/libvirt-guests"; do
        [ -r "$file" ] || continue
        boot=$(setting "$file" ON_BOOT)
        down=$(setting "$file" ON_SHUTDOWN)
    done
    enabled=$(systemctl is-enabled libvirt-guests.service 2>/dev/null)
    case $enabled in enabled*) ;; *) enabled=no ;; esac
    printf 'guests %s %s %s\n' "$enabled" "${boot:-start}" "${down:-suspend}"
    if [ -e "$root/run/dormouse-guard/doors" ]; then echo 'doors closed'; else echo 'doors open'; fi
    free=$(df -Pkl -- "$root/var" 2>/dev/null | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\).*/\1/p')
    case $free in '' | *[!0-9]*) ;; *) printf 'var %s\n' "$free" ;; esac
    for tool in systemctl ethtool; do
        command -v "$tool" >/dev/null 2>&1 || printf 'without %s\n' "$tool"
    done
    count=0
    while [ "$count" -lt "$paths" ]; do
        eval "path=\$path_$count"
        folder "$count" "${path%/}"
        count=$((count + 1))
    done
    echo end
}

# All of it is read before any of it runs: what follows on standard input are words.
main() {
    paths=0
    boot= down=
    echo hello survey
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
