//! What work costs this machine: processor time and memory of this process. Never the time on the wall, which others
//! on the machine change.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

/// Work is repeated for at least so long, and its mean told.
const LONG_ENOUGH: Duration = Duration::from_millis(200);

/// Processor time of one call.
pub(crate) fn cost<T>(mut work: impl FnMut() -> T) -> Duration {
    let start = cpu();
    let mut runs = 0;
    loop {
        std::hint::black_box(work());
        runs += 1;
        let spent = cpu().saturating_sub(start);
        if spent >= LONG_ENOUGH {
            return spent / runs;
        }
    }
}

/// `12.3 ms`, with the digits that matter.
pub(crate) fn millis(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..10_000 => format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10),
        10_000..100_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        100_000..10_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// Processor time that this thread has used.
pub(crate) fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec to the place that it is given.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every POSIX system has this clock");
    let part = |part: i64| u64::try_from(part).expect("time does not run backwards");
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// User time of all processes that we started and that have ended.
pub(crate) fn of_children() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes one rusage to the place that it is given, and zeros are a valid one.
    let (failed, usage) = unsafe {
        let failed = libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        (failed, usage.assume_init())
    };
    assert_eq!(failed, 0, "every POSIX system counts its children");
    let part = |part: i64| u64::try_from(part).expect("time does not run backwards");
    Duration::from_secs(part(usage.ru_utime.tv_sec)) + Duration::from_micros(part(usage.ru_utime.tv_usec))
}

/// The system's allocator, which keeps count while it is asked to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static HELD: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: i64) {
    if COUNTS.load(Relaxed) {
        let held = HELD.fetch_add(bytes, Relaxed) + bytes;
        MOST.fetch_max(held, Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        unsafe { System.realloc(place, layout, size) }
    }
}

/// The most memory that a call holds at once beyond what was held before, in bytes.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> u64 {
    HELD.store(0, Relaxed);
    MOST.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let result = work();
    COUNTS.store(false, Relaxed);
    drop(result);
    u64::try_from(MOST.load(Relaxed)).unwrap_or(0)
}
