//! Reading what the probe's script says. Strict: an answer that lacks something, says something twice or says what it
//! may not say is no answer at all.

use crate::trust::Tls;
use dormouse_model::{Epoch, Millis};
use uuid::Uuid;

/// What the script said, in its own units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub machine: Uuid,
    pub boot: Uuid,
    pub uptime: Millis,
    pub cpus: u32,
    pub mem_kib: u64,
    pub available_kib: u64,
    /// Thousandths.
    pub load15: u64,
    pub ticks: Ticks,
    /// Milliseconds since 1970, on the host's clock.
    pub time_ms: i64,
    pub macs: Vec<[u8; 6]>,
    pub wake_on_lan: Option<bool>,
    pub people_idle: Vec<Millis>,
    pub blocks: Vec<String>,
    pub epoch: Option<Epoch>,
    /// Bridges and network cards.
    pub links: Vec<String>,
    /// libvirt locks the disks of running VMs there.
    pub disk_lock: Option<bool>,
    /// By which certificates it trusts other hosts.
    pub tls: Option<Tls>,
    /// One for each path asked about, in that order.
    pub storage: Vec<Storage>,
}

/// Processor time since boot, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    pub busy: u64,
    pub all: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Ok,
    /// Nothing is mounted there.
    Missing,
    /// It does not answer.
    Hung,
    Unreadable,
}

/// As much of an inhibitor as a person reads.
const TEXT_MAX: usize = 200;
/// More of anything is cut: it is said already that there are too many.
pub(crate) const LIST_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Reader {
    machine: Option<Uuid>,
    boot: Option<Uuid>,
    uptime: Option<Millis>,
    cpus: Option<u32>,
    mem_kib: Option<u64>,
    available_kib: Option<u64>,
    load15: Option<u64>,
    ticks: Option<Ticks>,
    time_ms: Option<i64>,
    wake_on_lan: Option<bool>,
    epoch: Option<Epoch>,
    disk_lock: Option<bool>,
    tls: Option<Tls>,
    links: Vec<String>,
    macs: Vec<[u8; 6]>,
    people_idle: Vec<Millis>,
    blocks: Vec<String>,
    storage: Vec<Storage>,
}

impl Reader {
    /// One line before `end`.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let odd = || format!("{word} cannot be {:?}", rest.chars().take(80).collect::<String>());
        match word {
            "machine" => once(&mut self.machine, Uuid::parse_str(rest).ok(), odd),
            "boot" => once(&mut self.boot, Uuid::parse_str(rest).ok(), odd),
            "uptime" => once(&mut self.uptime, uptime(rest), odd),
            "cpus" => {
                once(&mut self.cpus, rest.parse().ok().filter(|count| (1..=65_536).contains(count)), odd)
            }
            "mem" => once(&mut self.mem_kib, kib(rest).filter(|kib| *kib > 0), odd),
            "available" => once(&mut self.available_kib, kib(rest), odd),
            "load15" => once(&mut self.load15, thousandths(rest), odd),
            "stat" => once(&mut self.ticks, ticks(rest), odd),
            "time" => once(&mut self.time_ms, time(rest), odd),
            "wake" => once(&mut self.wake_on_lan, yes_no(rest), odd),
            "disk-lock" => once(&mut self.disk_lock, yes_no(rest), odd),
            "tls" => once(&mut self.tls, Tls::read(rest), odd),
            "guard" => once(
                &mut self.epoch,
                rest.split_once(' ').and_then(|(_, epoch)| epoch.parse().ok()).map(Epoch),
                odd,
            ),
            "link" => push(&mut self.links, link(rest), odd),
            "mac" => push(&mut self.macs, mac(rest), odd),
            "person" => push(&mut self.people_idle, idle(rest), odd),
            "inhibitor" => push(
                &mut self.blocks,
                Some(format!("inhibited: {}", rest.chars().take(TEXT_MAX).collect::<String>())),
                odd,
            ),
            "package-lock" => {
                push(&mut self.blocks, Some("a package manager holds its lock".to_owned()), odd)
            }
            "resync" => push(&mut self.blocks, Some("a RAID resync runs".to_owned()), odd),
            "storage" => {
                let (place, state) = rest.split_once(' ').ok_or_else(odd)?;
                let here = place.parse() == Ok(self.storage.len());
                push(&mut self.storage, storage(state).filter(|_| here), odd)
            }
            _ => Err(format!("it says {:?}", line.chars().take(80).collect::<String>())),
        }
    }

    /// After `end`, with the number of paths that were asked about.
    pub(crate) fn end(mut self, paths: usize) -> Result<Answer, String> {
        fn need<T>(value: Option<T>, what: &str) -> Result<T, String> {
            value.ok_or_else(|| format!("it does not say its {what}"))
        }
        if self.storage.len() != paths {
            return Err("it does not say how its storage is".to_owned());
        }
        self.macs.sort_unstable();
        self.macs.dedup();
        Ok(Answer {
            machine: need(self.machine, "machine id")?,
            boot: need(self.boot, "boot id")?,
            uptime: need(self.uptime, "uptime")?,
            cpus: need(self.cpus, "processors")?,
            mem_kib: need(self.mem_kib, "memory")?,
            available_kib: need(self.available_kib, "available memory")?,
            load15: need(self.load15, "load")?,
            ticks: need(self.ticks, "processor time")?,
            time_ms: need(self.time_ms, "time")?,
            macs: self.macs,
            wake_on_lan: self.wake_on_lan,
            people_idle: self.people_idle,
            blocks: self.blocks,
            epoch: self.epoch,
            links: self.links,
            disk_lock: self.disk_lock,
            tls: self.tls,
            storage: self.storage,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: Option<T>, odd: impl Fn() -> String) -> Result<(), String> {
    match (value, &place) {
        (Some(value), None) => {
            *place = Some(value);
            Ok(())
        }
        _ => Err(odd()),
    }
}

fn push<T>(list: &mut Vec<T>, value: Option<T>, odd: impl Fn() -> String) -> Result<(), String> {
    let value = value.ok_or_else(odd)?;
    if list.len() < LIST_MAX {
        list.push(value);
    }
    Ok(())
}

/// Up to 2^50 KiB: sums of it stay far from the end of the range.
fn kib(text: &str) -> Option<u64> {
    text.parse().ok().filter(|kib| *kib < 1 << 50)
}

/// As the kernel allows them: short, without a slash or a blank.
fn link(text: &str) -> Option<String> {
    let fits = (1..16).contains(&text.len()) && !text.contains(['/', ' ']);
    fits.then(|| text.to_owned())
}

fn idle(text: &str) -> Option<Millis> {
    text.parse().ok().filter(|seconds| *seconds < 1 << 40).map(Millis::from_secs)
}

fn yes_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// `0.02`, as /proc/loadavg prints it.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 9 || part.len() > 3 {
        return None;
    }
    let part = format!("{part:0<3}").parse::<u64>().ok()?;
    Some(whole.parse::<u64>().ok()? * 1000 + part)
}

/// Seconds with hundredths, as the kernel prints them. Up to nine digits: a host is up for thirty years at most.
fn uptime(text: &str) -> Option<Millis> {
    thousandths(text).map(Millis)
}

/// Seconds with nanoseconds; a `date` without `%N` leaves something else behind the point.
fn time(text: &str) -> Option<i64> {
    let (seconds, nanos) = text.split_once('.').unwrap_or((text, ""));
    let seconds = seconds.parse::<i64>().ok().filter(|seconds| (0..1 << 40).contains(seconds))?;
    let millis = match nanos {
        nanos if nanos.len() == 9 && nanos.bytes().all(|byte| byte.is_ascii_digit()) => {
            nanos[..3].parse().ok()?
        }
        // The middle of the second that we know.
        _ => 500,
    };
    Some(seconds * 1000 + millis)
}

/// `user nice system idle iowait irq softirq steal …`; guest time is part of user time.
fn ticks(text: &str) -> Option<Ticks> {
    let numbers = text
        .split_ascii_whitespace()
        .take(8)
        .map(|number| number.parse::<u64>().ok().filter(|n| *n < 1 << 56));
    let numbers = numbers.collect::<Option<Vec<_>>>()?;
    let [_, _, _, idle, wait, ..] = numbers[..] else { return None };
    let all = numbers.iter().sum::<u64>();
    Some(Ticks { busy: all - idle - wait, all })
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte =
            parts.next().filter(|part| part.len() == 2).and_then(|part| u8::from_str_radix(part, 16).ok())?;
    }
    parts.next().is_none().then_some(mac)
}

fn storage(text: &str) -> Option<Storage> {
    match text {
        "ok" => Some(Storage::Ok),
        "missing" => Some(Storage::Missing),
        "hung" => Some(Storage::Hung),
        "unreadable" => Some(Storage::Unreadable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "boot 6d0d4ae8-9a44-4a3e-9d5d-0f6a4e7c0001
uptime 4711.25
machine 22222222-3333-4444-5555-666666666666
cpus 2
load15 0.07
mem 2048000
available 1024000
stat 100 0 50 800 50 0 0 0 0 0
time 1795000000.250000000
mac 52:54:00:aa:bb:01
mac 52:54:00:aa:bb:01
wake yes
person 120
inhibitor backup 0 root 9 backup shutdown Nightly block
guard 00000000-0000-0000-0000-000000000d0a 8
link br0
link enp1s0
disk-lock yes
tls no none - - - -
storage 0 ok
storage 1 hung";

    fn read(text: &str) -> Result<Answer, String> {
        let mut reader = Reader::default();
        text.lines().try_for_each(|line| reader.line(line))?;
        reader.end(2)
    }

    #[test]
    fn a_whole_answer_is_read() {
        let answer = read(GOOD).expect("reads");
        assert_eq!(
            (answer.cpus, answer.load15, answer.mem_kib, answer.time_ms),
            (2, 70, 2_048_000, 1_795_000_000_250)
        );
        assert_eq!(answer.uptime, Millis(4_711_250));
        assert_eq!(answer.ticks, Ticks { busy: 150, all: 1000 });
        assert_eq!(answer.macs, [[0x52, 0x54, 0, 0xaa, 0xbb, 1]]);
        assert_eq!((answer.wake_on_lan, answer.epoch), (Some(true), Some(Epoch(8))));
        assert_eq!(answer.people_idle, [Millis::from_secs(120)]);
        assert_eq!(answer.blocks, ["inhibited: backup 0 root 9 backup shutdown Nightly block"]);
        assert!(answer.tls.is_some_and(|tls| !tls.listens));
        assert_eq!(
            (answer.disk_lock, &answer.links[..]),
            (Some(true), &["br0".to_owned(), "enp1s0".into()][..])
        );
        assert_eq!(answer.storage, [Storage::Ok, Storage::Hung]);
        assert_eq!(read(&GOOD.replace(".250000000", ".N")).expect("reads").time_ms, 1_795_000_000_500);
    }

    #[test]
    fn half_an_answer_is_none() {
        for place in 0..GOOD.lines().count() {
            let word = GOOD.lines().nth(place).expect("a line").split(' ').next().expect("a word");
            let text: Vec<&str> =
                GOOD.lines().enumerate().filter(|(at, _)| *at != place).map(|(_, line)| line).collect();
            let optional =
                ["mac", "link", "wake", "person", "inhibitor", "guard", "disk-lock", "tls"].contains(&word);
            assert_eq!(read(&text.join("\n")).is_ok(), optional, "without {word}");
        }
    }

    #[test]
    fn numbers_out_of_range_and_words_out_of_place_are_refused() {
        for (good, bad) in [
            ("cpus 2", "cpus 0"),
            ("cpus 2", "cpus -1"),
            ("cpus 2", "cpus 2\ncpus 2"),
            ("mem 2048000", "mem 0"),
            ("mem 2048000", "mem 99999999999999999999"),
            ("uptime 4711.25", "uptime -1.00"),
            ("uptime 4711.25", "uptime 9999999999.00"),
            ("load15 0.07", "load15 nan"),
            ("load15 0.07", "load15 -1.0"),
            ("stat 100 0 50 800", "stat 100 0 -50 800"),
            ("time 1795000000", "time -5"),
            ("person 120", "person soon"),
            ("storage 1 hung", "storage 7 hung"),
            ("wake yes", "wake \u{1b}[2J"),
            ("wake yes", "reboot now"),
            ("tls no none - - - -", "tls no ours - - - -"),
            ("link br0", "link a/b"),
            ("link br0", "link "),
            ("link br0", "link sixteen-letters-"),
            ("mac 52:54:00:aa:bb:01", "mac 52:54:00:aa:bb:01:02"),
        ] {
            assert!(read(&GOOD.replacen(good, bad, 1)).is_err(), "{bad}");
        }
    }
}
