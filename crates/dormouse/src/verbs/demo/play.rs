//! Plays a night on the screen: so much simulated time for each stretch of real time, keys, and a terminal that is given
//! back as it was found, whatever happens.

use super::frame::Frame;
use super::night::{Night, Prank};
use super::screen::{self, View};
use crate::cli::{Failure, Screen};
use dormouse_model::{HostState, Millis};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::io;
use std::time::{Duration, Instant};

/// While hosts or VMs are on their way, a minute takes two seconds: slow enough to watch.
const SPEED_BUSY: u64 = 30;
/// While nothing moves, an hour takes two seconds.
const SPEED_QUIET: u64 = 1800;
/// A picture each 50 ms looks smooth and costs little.
const PICTURE: Duration = Duration::from_millis(50);
/// Keys heeded within one picture.
const KEYS_MAX: u32 = 16;
/// Time is simulated in slices, so that a quiet stretch does not run past the moment when something happens.
const SLICE: Millis = Millis(2000);
/// One sample of the history: 60 of them are a usual night.
const SAMPLE: Millis = Millis::from_mins(10);

/// Faster or slower than the automatic speed, in powers of two.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gear(i32);

impl Gear {
    const MOST: i32 = 5;

    pub(super) fn of(factor: u32) -> Self {
        Self(i32::try_from(factor.max(1).ilog2()).map_or(Self::MOST, |gear| gear.min(Self::MOST)))
    }

    fn shift(&mut self, by: i32) {
        self.0 = (self.0 + by).clamp(-Self::MOST, Self::MOST);
    }

    fn speed(self, busy: bool) -> u64 {
        let speed = if busy { SPEED_BUSY } else { SPEED_QUIET };
        if self.0 >= 0 { speed << self.0 } else { (speed >> -self.0).max(1) }
    }
}

/// Plays until the night is over or the user leaves.
pub(super) fn play(night: &mut Night, mut gear: Gear) -> Result<(), Failure> {
    const INSTEAD: &str = "dormouse demo --night";
    let failed = |error: io::Error| Screen::failure(INSTEAD, &error);
    let mut screen = Screen::take(INSTEAD)?;
    let mut history = History::default();
    let mut paused = false;
    let mut due = Instant::now();
    while !night.is_over() && !screen.shall_leave() {
        let frame = night.frame();
        let speed = gear.speed(is_busy(&frame));
        let view = View { frame: &frame, history: &history.samples, trail: night.trail(), speed, paused };
        screen.draw(|canvas| screen::draw(canvas, &view)).map_err(failed)?;
        due += PICTURE;
        // Keys that never end (a terminal whose input is gone, a cat on the keyboard) do not stop the clock.
        for _ in 0..KEYS_MAX {
            let now = Instant::now();
            if !event::poll(due.saturating_duration_since(now)).map_err(failed)? {
                break;
            }
            match event::read().map_err(failed)? {
                Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                    // What a terminal sends whose input is gone: no person's key.
                    KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::CONTROL) => {}
                    KeyCode::Char(' ') => paused = !paused,
                    KeyCode::Char('+' | '=') => gear.shift(1),
                    KeyCode::Char('-') => gear.shift(-1),
                    KeyCode::Char('c') => night.prank(Prank::Close),
                    KeyCode::Char('o') => night.prank(Prank::Open),
                    KeyCode::Char('b') => night.prank(Prank::Burst),
                    KeyCode::Char('k') => night.prank(Prank::Kill),
                    _ => {}
                },
                _ => {}
            }
        }
        // After a stop (SIGSTOP, a slow terminal) go on from now instead of catching up.
        due = due.max(Instant::now().checked_sub(PICTURE).unwrap_or(due));
        if !paused {
            advance(night, gear, &mut history);
        }
    }
    Ok(())
}

/// One picture's worth of simulated time: less when something begins to move on the way.
fn advance(night: &mut Night, gear: Gear, history: &mut History) {
    let budget_us = u64::try_from(PICTURE.as_micros()).expect("50 ms");
    let mut spent_us = 0;
    while spent_us < budget_us && !night.is_over() {
        let speed = gear.speed(night.is_busy());
        let left = Millis(((budget_us - spent_us) * speed / 1000).max(1));
        let slice = SLICE.min(left);
        night.advance(slice);
        history.passed(slice, night);
        spent_us += (slice.0 * 1000 / speed).max(1);
    }
}

/// Hosts on, sampled in simulated time.
#[derive(Default)]
struct History {
    samples: Vec<u64>,
    since: Millis,
}

impl History {
    fn passed(&mut self, span: Millis, night: &Night) {
        self.since += span;
        if self.since >= SAMPLE {
            self.since = Millis::ZERO;
            self.samples.push(u64::from(night.hosts_on()));
        }
    }
}

fn is_busy(frame: &Frame) -> bool {
    !frame.moves.is_empty()
        || frame.tiles.iter().any(|tile| {
            matches!(
                tile.state,
                HostState::Draining | HostState::Stopping | HostState::Waking | HostState::Unknown
            )
        })
}
