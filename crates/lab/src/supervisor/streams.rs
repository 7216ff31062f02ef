//! Listens to the guests' tick streams and keeps count: ticks lost, streams broken, silences.
//!
//! One thread reads all streams, another connects, so that a guest that is slow to answer costs the others nothing.

use std::collections::VecDeque;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::lock;
use crate::report::{Gap, StreamsReport};
use crate::spec::{GuestSpec, TICK_PORT};

/// Silences shorter than this belong to an emulated machine on a busy one.
const GAP_MS: u64 = 100;
const GAPS_KEPT: usize = 4096;
/// A stream that is silent for so long is broken, whatever TCP still hopes.
const BROKEN_AFTER: Duration = Duration::from_secs(30);
const LINE: usize = 32;

/// The counts of all streams.
#[derive(Debug, Default)]
struct Tally {
    streams: u64,
    broken: u64,
    ticks: u64,
    lost: u64,
    gaps: Vec<u64>,
    list: Vec<Gap>,
}

impl Tally {
    fn report(&self, double_runs: u64) -> StreamsReport {
        let mut sorted = self.gaps.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        StreamsReport {
            streams: self.streams,
            streams_broken: self.broken,
            ticks: self.ticks,
            ticks_lost: self.lost,
            gaps: sorted.len() as u64,
            gap_ms_p50: at(50),
            gap_ms_p99: at(99),
            gap_ms_max: at(100),
            double_runs,
            gap_list: self.list.clone(),
        }
    }
}

/// One guest's stream, told line by line; knows no sockets.
#[derive(Debug)]
struct Count {
    nonce: Option<u64>,
    seq: u64,
    last: Instant,
}

impl Count {
    /// Takes one line; returns how many ticks were skipped before it.
    fn line(&mut self, line: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(line).ok()?.trim_end();
        let (nonce, seq) = text.split_once(' ')?;
        let (nonce, seq) = (u64::from_str_radix(nonce, 16).ok()?, seq.parse::<u64>().ok()?);
        let skipped = match self.nonce {
            Some(n) if n == nonce => seq.saturating_sub(self.seq + 1),
            _ => 0,
        };
        (self.nonce, self.seq) = (Some(nonce), seq);
        Some(skipped)
    }
}

struct Listener {
    guest: GuestSpec,
    stream: TcpStream,
    rest: Vec<u8>,
    count: Count,
}

pub(super) struct Recorder {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
}

impl Recorder {
    /// Must be called in the switch's network namespace.
    pub(super) fn start(guests: Vec<GuestSpec>, tick_ms: u32) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (wanted, to_connect) = channel();
        let (connected, ready) = channel();
        lock(&tally).streams = guests.len() as u64;
        for guest in guests {
            let count = Count { nonce: None, seq: 0, last: Instant::now() };
            // Both ends live as long as the threads below.
            let _ = wanted.send((guest, count));
        }
        let (t, s, gap) = (Arc::clone(&tally), Arc::clone(&stop), GAP_MS.max(u64::from(tick_ms) * 3));
        thread::spawn(move || connect_all(&to_connect, &connected));
        thread::spawn(move || listen(&ready, &wanted, &t, &s, gap));
        Self { tally, stop }
    }

    pub(super) fn report(&self, double_runs: u64) -> StreamsReport {
        lock(&self.tally).report(double_runs)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

type Wanted = (GuestSpec, Count);

fn connect_all(wanted: &Receiver<Wanted>, connected: &Sender<Listener>) {
    let mut waiting: VecDeque<Wanted> = VecDeque::new();
    loop {
        // Nobody wants anything any more: the recorder is gone.
        match wanted.recv_timeout(Duration::from_millis(if waiting.is_empty() { 1000 } else { 50 })) {
            Ok(w) => waiting.push_back(w),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
        let Some((guest, count)) = waiting.pop_front() else { continue };
        let address = SocketAddr::from((guest.address, TICK_PORT));
        match TcpStream::connect_timeout(&address, Duration::from_millis(1500)) {
            Ok(stream) if stream.set_nonblocking(true).is_ok() => {
                if connected.send(Listener { guest, stream, rest: Vec::new(), count }).is_err() {
                    return;
                }
            }
            _ => waiting.push_back((guest, count)),
        }
    }
}

fn listen(
    ready: &Receiver<Listener>,
    wanted: &Sender<Wanted>,
    tally: &Mutex<Tally>,
    stop: &AtomicBool,
    gap_ms: u64,
) {
    let started = Instant::now();
    let mut listeners: Vec<Listener> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for mut new in ready.try_iter() {
            if new.count.nonce.is_none() {
                new.count.last = Instant::now();
            }
            listeners.push(new);
        }
        let mut fds: Vec<PollFd<'_>> =
            listeners.iter().map(|l| PollFd::new(l.stream.as_fd(), PollFlags::POLLIN)).collect();
        if poll(&mut fds, PollTimeout::from(100_u16)).is_err() {
            continue;
        }
        let readable: Vec<bool> = fds.iter().map(|f| f.revents().is_some_and(|r| !r.is_empty())).collect();
        let now = Instant::now();
        let mut kept = Vec::with_capacity(listeners.len());
        for (mut l, readable) in listeners.into_iter().zip(readable) {
            let silent = now.duration_since(l.count.last) > BROKEN_AFTER;
            if (!readable && !silent) || (readable && read_some(&mut l, tally, started, now, gap_ms)) {
                kept.push(l);
                continue;
            }
            lock(tally).broken += 1;
            if wanted.send((l.guest, l.count)).is_err() {
                return;
            }
        }
        listeners = kept;
    }
}

/// Reads what is there; false when the stream is at its end.
fn read_some(l: &mut Listener, tally: &Mutex<Tally>, started: Instant, now: Instant, gap_ms: u64) -> bool {
    let mut buffer = [0_u8; 4096];
    match l.stream.read(&mut buffer) {
        Ok(0) => return false,
        Ok(n) => l.rest.extend_from_slice(&buffer[..n]),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return true,
        Err(_) => return false,
    }
    let whole = l.rest.len() / LINE * LINE;
    let lines: Vec<u8> = l.rest.drain(..whole).collect();
    let mut tally = lock(tally);
    for line in lines.chunks(LINE) {
        let first = l.count.nonce.is_none();
        // Not one of our lines: the stream cannot be followed any more.
        let Some(skipped) = l.count.line(line) else { return false };
        tally.ticks += 1;
        tally.lost += skipped;
        let gap = u64::try_from(now.duration_since(l.count.last).as_millis()).unwrap_or(u64::MAX);
        l.count.last = now;
        if !first && gap >= gap_ms {
            tally.gaps.push(gap);
            if tally.list.len() < GAPS_KEPT {
                let at_ms = u64::try_from(now.duration_since(started).as_millis()).unwrap_or(u64::MAX);
                tally.list.push(Gap { guest: l.guest.name.clone(), at_ms, gap_ms: gap });
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(lines: &str) -> Vec<Option<u64>> {
        let mut count = Count { nonce: None, seq: 0, last: Instant::now() };
        lines.split(',').map(|l| count.line(l.as_bytes())).collect()
    }

    #[test]
    fn lost_ticks_are_those_missing_between_two_of_one_boot() {
        assert_eq!(skipped("0a 07,0a 08,0a 11"), [Some(0), Some(0), Some(2)]);
        assert_eq!(skipped("0a 07,0b 99,0b 100"), [Some(0), Some(0), Some(0)]);
        assert_eq!(skipped("nonsense"), [None]);
    }

    #[test]
    fn percentiles_are_of_the_silences() {
        let tally = Tally { gaps: (1..=200).rev().collect(), ..Tally::default() };
        let r = tally.report(0);
        assert_eq!((r.gap_ms_p50, r.gap_ms_p99, r.gap_ms_max), (100, 198, 200));
        assert_eq!(Tally::default().report(3).gap_ms_max, 0);
    }
}
