//! The places where text comes in. Each takes any bytes and asserts what was promised about them.

use dormouse_control::{HostMemory, ManagerMemory, VmMemory};
use dormouse_driver::{EventRecord, IntentRecord};
use dormouse_model::Cluster;
use dormouse_model::schedule::Zone;
use dormouse_model::text::{self, TextError, ics};
use dormouse_sim::script::Script;
use dormouse_sim::trace::Trace;
use jiff::civil::date;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A place where text comes in.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Also that of its folder in `fuzz/corpus` and of its target in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

pub const ENTRIES: [Entry; 10] = [
    Entry { name: "cluster_text", run: cluster_text },
    Entry { name: "calendar_ics", run: calendar_ics },
    Entry { name: "script", run: script },
    Entry { name: "trace_csv", run: trace_csv },
    Entry { name: "trace_memory", run: trace_memory },
    Entry { name: "domain_xml", run: domain_xml },
    Entry { name: "probe_answer", run: probe_answer },
    Entry { name: "guard_words", run: guard_words },
    Entry { name: "ssh_words", run: ssh_words },
    Entry { name: "store_record", run: store_record },
];

/// What is read can be printed and read again as the same; what is refused is refused at a place that exists, in words
/// that steer no terminal.
fn cluster_text(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    match text::parse(source) {
        Ok(cluster) => {
            let printed = text::print(&cluster);
            let again =
                text::parse(&printed).unwrap_or_else(|error| panic!("{}", error.render("printed", &printed)));
            assert_eq!(again, cluster);
            assert_eq!(text::print(&again), printed);
        }
        Err(error) => harmless(&error, source),
    }
}

/// Each event lies where it was asked for and runs forwards; what it is called is one harmless line.
fn calendar_ics(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let zone = Zone::named("Europe/Rome").expect("known");
    let (from, until) = (date(2026, 11, 23), date(2028, 12, 31));
    match ics::parse(source, &zone, from, until) {
        Ok(events) => {
            for event in events {
                let (first, last) = match event.when {
                    ics::When::Days { from, to } => (from, to),
                    ics::When::Hours { start, end } => {
                        assert!(start < end, "{event:?}");
                        (start.date(), end.date())
                    }
                };
                assert!(first <= last && last >= from && first <= until, "{event:?}");
                shown(event.summary.as_deref().unwrap_or_default());
            }
        }
        Err(error) => harmless(&error, source),
    }
}

fn harmless(error: &TextError, source: &str) {
    let lines = source.lines().count().max(1);
    assert!((1..=lines).contains(&usize::try_from(error.line).unwrap_or(usize::MAX)), "{error}");
    shown(&error.render("text", source));
}

/// Several lines, each harmless and of a length that a person reads.
fn shown(text: &str) {
    assert!(text.lines().all(|line| line.chars().count() <= 1_000), "{} characters", text.chars().count());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

const CLUSTER: &str = "cluster x zone=Europe/Rome
host h[1-4] cpus=2 mem=2048M watts=45/95/3 boot=75s
vm pc[1-6]@h[1-3,1-3] vcpus=1 mem=256M cpu=0.02
window open Mon-Fri 09:00-19:45 goal=spread up-by=-30m
";

fn cluster() -> Cluster {
    text::parse(CLUSTER).expect("a text of ours")
}

/// Read or refused, on a line that exists.
fn script(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Script::parse(source, &cluster()) {
        let lines = source.lines().count().max(1);
        assert!(usize::try_from(error.line).is_ok_and(|line| line <= lines), "{error}");
        shown(&error.message);
    }
}

/// What is read can be written and read again, in the general format.
fn trace_csv(bytes: &[u8]) {
    match Trace::read("day-2026-01-12.csv", bytes) {
        Ok(trace) => {
            let written = trace.to_csv();
            let again = Trace::read("day-2026-01-12.csv", written.as_bytes())
                .unwrap_or_else(|error| panic!("{error}: {written}"));
            assert_eq!(again.to_csv(), written);
        }
        Err(error) => shown(&error.to_string()),
    }
}

fn trace_memory(bytes: &[u8]) {
    let plain: &[u8] = b"vm,cores,mhz,mem_mb,t0,t300\nweb1,2,2000,4096,10,20\nweb2,1,1000,1024,0,1000\n";
    let mut trace = Trace::read("day.csv", plain).expect("a trace of ours");
    if let Err(error) = trace.read_mem_used("day.meta.csv", bytes) {
        shown(&error.to_string());
    }
}

fn domain_xml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        dormouse_libvirt::hostile::domain_xml(text);
    }
}

/// As the channel hands lines on: what is no UTF-8 was replaced.
fn probe_answer(bytes: &[u8]) {
    dormouse_libvirt::hostile::probe_answer(&String::from_utf8_lossy(bytes));
}

fn guard_words(bytes: &[u8]) {
    dormouse_power::hostile::guard_words(&String::from_utf8_lossy(bytes));
}

fn ssh_words(bytes: &[u8]) {
    dormouse_libvirt::hostile::ssh_words(&String::from_utf8_lossy(bytes));
}

/// What the store gives back, in case that somebody wrote it: read whole or not at all, and written again as the same.
fn store_record(bytes: &[u8]) {
    fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
        let written = serde_json::to_vec(&read).expect("plain data");
        assert_eq!(serde_json::from_slice::<T>(&written).expect("what we wrote"), read);
    }
    again::<HostMemory>(bytes);
    again::<VmMemory>(bytes);
    again::<ManagerMemory>(bytes);
    again::<IntentRecord>(bytes);
    again::<EventRecord>(bytes);
}
