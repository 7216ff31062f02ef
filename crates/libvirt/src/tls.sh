# libvirt's TLS on this host. Shared by the probe and by the script that sets it up, so that both see the same.

# Whether libvirt, or systemd in its stead, takes connections on port 16514.
listens() { grep -qs ': [0-9A-F]*:4082 [0-9A-F]*:0000 0A ' "$root/proc/net/tcp" "$root/proc/net/tcp6"; }

# `tls LISTENS WHOSE CA SINCE ENDS LIST`. Certificates are ours when they are those of which our note beside them speaks.
tls() {
    pki=$root/etc/pki
    # Not ours to read: then nothing is said of it.
    [ -d "$pki/libvirt" ] && [ ! -x "$pki/libvirt" ] && return
    whose=none ca_sum=- since=- ends=-
    if [ -e "$pki/CA/cacert.pem" ] && [ -e "$pki/libvirt/clientcert.pem" ]; then
        set -- $(sha256sum "$pki/CA/cacert.pem" "$pki/libvirt/clientcert.pem" "$pki/libvirt/servercert.pem" 2>/dev/null | cut -c1-64)
        whose=others ca_sum=${1:--}
        if { read -r noted_ca noted_cert noted_since noted_ends rest <"$pki/libvirt/dormouse.note"; } 2>/dev/null &&
            [ "$noted_ca $noted_cert $noted_cert" = "$*" ]; then
            whose=ours since=$noted_since ends=$noted_ends
        fi
    fi
    list=$(sed -n -e 's/^# >>> dormouse: .* List \([0-9]*\)$/\1/p' -e 's/^[[:space:]]*tls_allowed_dn_list.*/others/p' \
        "$root/etc/libvirt/virtproxyd.conf" "$root/etc/libvirt/libvirtd.conf" 2>/dev/null | head -n 1)
    if listens; then answer=yes; else answer=no; fi
    printf 'tls %s %s %s %s %s %s\n' "$answer" "$whose" "$ca_sum" "$since" "$ends" "${list:--}"
}
