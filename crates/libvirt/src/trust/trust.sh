# Certificates and allow-list of libvirt's TLS on this host. Reads words, answers in lines; `end` closes an answer.
# Words in: `facts`; `put NAME` and a file in base64 up to a line `.`; `apply SUM LIST SINCE ENDS` (the configuration must
# still have that checksum); `withdraw SUM`; `keep`. What was applied and not kept goes back when the conversation ends.
# Private keys come on standard input, into a folder that only root can read.

ca=/etc/pki/CA/cacert.pem
note=/etc/pki/libvirt/dormouse.note
# Where each file goes: name, place, mode, and `qemu` where QEMU's group must read it.
places='ca /etc/pki/CA/cacert.pem 644
cert /etc/pki/libvirt/servercert.pem 644
cert /etc/pki/libvirt/clientcert.pem 644
key /etc/pki/libvirt/private/serverkey.pem 600
key /etc/pki/libvirt/private/clientkey.pem 600
ca /etc/pki/qemu/ca-cert.pem 644
cert /etc/pki/qemu/server-cert.pem 644
cert /etc/pki/qemu/client-cert.pem 644
key /etc/pki/qemu/server-key.pem 640 qemu
key /etc/pki/qemu/client-key.pem 640 qemu'

# libvirt in one daemon or in several: the one that takes connections from other hosts.
which_daemon() {
    daemon=libvirtd
    if systemctl is-active --quiet virtproxyd.socket || systemctl is-active --quiet virtproxyd.service; then
        daemon=virtproxyd
    fi
    conf=/etc/libvirt/$daemon.conf
}

sum() { sha256sum "$1" 2>/dev/null | cut -c1-64; }

# A move is under way here: a restart of libvirt would break it.
moving() { grep -qs "async='migration" "$root"/run/libvirt/qemu/*.xml; }

show() {
    printf 'begin %s\n' "$1"
    base64 "$2" 2>/dev/null
    echo stop
}

facts() {
    printf 'host %s\n' "$(uname -n)" | plain
    printf 'daemon %s\n' "$daemon"
    printf 'sum %s\n' "$(sum "$root$conf")"
    tls
    if moving; then echo 'moving yes'; else echo 'moving no'; fi
    [ -e "$root$ca" ] && show ca "$root$ca"
    show conf "$root$conf"
    echo end
}

stage_now() {
    [ -n "$stage" ] && return
    [ -d "$root/etc/pki" ] || mkdir -p "$root/etc/pki"
    umask 077
    stage=$(mktemp -d "$root/etc/pki/.dormouse-XXXXXX") || exit
}

put() {
    stage_now
    case $1 in ca | cert | key | conf) ;; *) exit ;; esac
    while read -r line; do
        [ "$line" = . ] && break
        printf '%s\n' "$line"
    done | base64 -d >"$stage/$1" || exit
}

# QEMU runs as a user of its own, whose group must read its keys.
qemu_group() {
    group=$(sed -n 's/^ *group *= *"\([A-Za-z0-9_.-]*\)".*/\1/p' "$root/etc/libvirt/qemu.conf" 2>/dev/null | tail -n 1)
    for name in $group libvirt-qemu qemu kvm; do
        getent group "$name" >/dev/null 2>&1 && { printf '%s\n' "$name"; return; }
    done
    echo root
}

# What stood there can come back until `keep`; for good under another name, if it was not ours.
save() {
    count=$((count + 1))
    [ -e "$root$1" ] && cp -p "$root$1" "$stage/undo.$count"
    printf '%s %s\n' "$count" "$1" >>"$stage/undo"
    if [ -e "$root$1" ] && [ -n "$foreign" ] && [ ! -e "$root$1.dormouse-old" ]; then
        cp -p "$root$1" "$root$1.dormouse-old" || return 1
        printf 'kept %s.dormouse-old\n' "$1"
    fi
}

# In one step: who reads finds the old file or the new one.
place() {
    dir=$root${2%/*}
    [ -d "$dir" ] || { (umask 022 && mkdir -p "$dir") && case $2 in */private/*) chmod 700 "$dir" ;; esac; } || return 1
    save "$2" || return 1
    new=$root$2.dormouse-new
    rm -f "$new"
    cat "$stage/$1" >"$new" && chmod "$3" "$new" || return 1
    [ "${4:-}" = qemu ] && { chgrp "$(qemu_group)" "$new" || return 1; }
    sync "$new" 2>/dev/null
    mv -f "$new" "$root$2" || return 1
    command -v restorecon >/dev/null 2>&1 && restorecon -F "$root$2" >/dev/null 2>&1
    return 0
}

place_all() {
    while read -r name to mode group; do
        place "$name" "$to" "$mode" "$group" </dev/null || return 1
    done <<PLACES
$places
PLACES
}

# The configuration keeps its owner and mode.
place_conf() {
    save "$conf" || return 1
    new=$root$conf.dormouse-new
    rm -f "$new"
    if [ -e "$root$conf" ]; then cp -p "$root$conf" "$new"; else : >"$new"; fi
    cat "$stage/conf" >"$new" || return 1
    sync "$new" 2>/dev/null
    mv -f "$new" "$root$conf"
}

# VMs do not notice. The socket for TLS is opened where systemd holds it and it is closed.
restart() {
    socket=$daemon-tls.socket
    case $(systemctl is-enabled "$socket" 2>/dev/null) in
        enabled* | disabled | static | indirect)
            if [ "$1" = open ] && ! systemctl is-active --quiet "$socket"; then
                systemctl enable "$socket" >/dev/null 2>&1 || return 1
                opened=yes
                # It cannot be opened while the daemon runs, and whoever connects starts the daemon.
                for try in 1 2 3 4 5 6 7 8 9 10; do
                    systemctl stop "$daemon.service" >/dev/null 2>&1
                    systemctl start "$socket" >/dev/null 2>&1 && break
                    sleep 0.2
                done
                systemctl is-active --quiet "$socket" || return 1
            elif [ "$1" = close ]; then
                systemctl disable "$socket" >/dev/null 2>&1
                systemctl stop "$socket" >/dev/null 2>&1
            fi
            ;;
    esac
    systemctl restart "$daemon.service" >/dev/null 2>&1 || return 1
    [ "$1" = open ] || return 0
    # A busy host takes its time; one that never listens is put back as it was.
    tries=0
    while ! listens; do
        tries=$((tries + 1))
        [ "$tries" -gt 80 ] && return 1
        sleep 0.25
    done
}

back() {
    [ -n "$stage" ] && [ -e "$stage/undo" ] || return
    while read -r number path; do
        if [ -e "$stage/undo.$number" ]; then mv -f "$stage/undo.$number" "$root$path"; else rm -f "$root$path"; fi
    done <"$stage/undo"
    rm -f "$stage/undo"
    if [ -n "$opened" ]; then restart close; else restart; fi
}

failed() {
    printf 'failed %s\n' "$1"
    echo end
}

# Beside the certificates: their checksums, the first list they are on, their end, and the list that is in force here.
write_note() {
    save "$note"
    (umask 022 && printf '%s\n' "$*" >"$root$note.dormouse-new") && mv -f "$root$note.dormouse-new" "$root$note"
}

apply() {
    stage_now
    if [ "$(sum "$root$conf")" != "${1#-}" ]; then failed 'its configuration was changed in this moment'; return; fi
    if moving; then failed 'a VM is being moved there'; return; fi
    foreign=
    if [ -e "$stage/key" ]; then
        [ -e "$root$note" ] || foreign=yes
        if ! place_all; then back; failed 'its files cannot be written'; return; fi
        set -- "$1" "$2" "$(sum "$stage/ca")" "$(sum "$stage/cert")" "$3" "$4"
    else
        { read -r noted_ca noted_cert noted_since noted_ends rest <"$root$note"; } 2>/dev/null
        set -- "$1" "$2" "$noted_ca" "$noted_cert" "$noted_since" "$noted_ends"
    fi
    grep -qs '^# >>> dormouse' "$root$conf" || foreign=yes
    if ! place_conf; then back; failed 'its configuration cannot be written'; return; fi
    if ! restart open; then back; failed "$daemon takes no TLS connections with it"; return; fi
    # Last: who looks at it meanwhile finds either all of the old or all of the new.
    if ! write_note "$3" "$4" "$5" "$6" "$2"; then back; failed 'its files cannot be written'; return; fi
    [ -n "$opened" ] && printf 'opened %s-tls.socket\n' "$daemon"
    echo done
    echo end
}

# Our files go, and what lay there before comes back.
withdraw() {
    stage_now
    if [ "$(sum "$root$conf")" != "${1#-}" ]; then failed 'its configuration was changed in this moment'; return; fi
    if moving; then failed 'a VM is being moved there'; return; fi
    foreign=
    close=close
    if [ -e "$root$note" ]; then
        while read -r name to rest; do
            save "$to" || continue
            if [ -e "$root$to.dormouse-old" ]; then
                mv -f "$root$to.dormouse-old" "$root$to" && close= && printf 'restored %s\n' "$to"
            else
                rm -f "$root$to"
            fi
        done <<PLACES
$places
PLACES
        save "$note"
        rm -f "$root$note"
    else
        close=
    fi
    if ! place_conf; then back; failed 'its configuration cannot be written'; return; fi
    rm -f "$root$conf.dormouse-old"
    if ! restart $close; then back; failed "$daemon does not start without it"; return; fi
    echo done
    echo end
}

leave() {
    back
    [ -n "$stage" ] && rm -rf "$stage"
}

main() {
    stage=
    count=0
    opened=
    which_daemon
    trap leave EXIT
    trap 'exit 1' HUP INT TERM PIPE
    echo hello trust
    while read -r verb one two three four; do
        case $verb in
            facts) facts ;;
            put) put "$one" ;;
            apply) apply "$one" "$two" "$three" "$four" ;;
            withdraw) withdraw "$one" ;;
            keep)
                rm -f "$stage/undo"
                echo end
                ;;
            *) exit ;;
        esac
    done
}
main; exit
