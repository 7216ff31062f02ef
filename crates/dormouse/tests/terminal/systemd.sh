# Runs inside the machine of systemd.rs, as its only work: what systemd makes of the unit. One line for each answer.
say() { printf '%s: %s\n' "$1" "$2"; }
of() { systemctl show dormouse --value -p "$1"; }
until_is() { # property, value: systemd takes its time, and has at most half a minute
    for _ in $(seq 300); do [ "$(of "$1")" = "$2" ] && break; sleep 0.1; done
    say "$1" "$(of "$1")"
}
answers() { dormouse status >/run/status 2>&1; say 'exit of status' $?; grep -o 'leads, epoch' /run/status; }

systemctl start dormouse
say 'exit of start' $?
say 'state' "$(of ActiveState)"
say 'told' "$(of StatusText)"
answers
pid=$(of MainPID)
say 'user' "$(stat -c %U "/proc/$pid")"
say 'capabilities' "$(grep CapEff "/proc/$pid/status" | tr -d '\t')"
say 'key' "$(nsenter -t "$pid" -m stat -c '%a %U' /run/credentials/dormouse.service/dormouse.ssh-key)"
for folder in /var/lib /etc/dormouse /var/lib/dormouse; do
    nsenter -t "$pid" -m touch "$folder/here" 2>/dev/null
    say "exit of a write in $folder" $?
done
grep -q 'connect to host 127.0.0.1 port 1: Connection refused' /run/status && say 'ssh' 'was run, and said why'

printf 'host a adress=127.0.0.1\n' >>/etc/dormouse/cluster
systemctl reload dormouse
until_is ActiveState active
for _ in $(seq 300); do of StatusText | grep -q failed && break; sleep 0.1; done
say 'a mistake' "$(of StatusText | grep -o 'the last reload failed: .*adress`')"
sed -i '$d' /etc/dormouse/cluster

kill -9 "$(of MainPID)"
until_is NRestarts 1
until_is ActiveState active
answers
kill -STOP "$(of MainPID)"
until_is NRestarts 2
until_is ActiveState active
answers
say 'the watchdog' "$(journalctl -u dormouse | grep -o 'Watchdog timeout' | head -1)"

systemctl stop dormouse
say 'result of stop' "$(of Result)"
say 'sockets after stop' "$(ls /run/dormouse 2>/dev/null | wc -l)"
say 'state folder' "$(stat -c '%a %U' /var/lib/dormouse)"

echo 'mod = "auto"' >/etc/dormouse/dormouse.toml
systemctl start dormouse 2>/dev/null
say 'exit of a start on a mistake' $?
sleep 2
say 'state' "$(of ActiveState)"
say 'exit status' "$(of ExecMainStatus)"
