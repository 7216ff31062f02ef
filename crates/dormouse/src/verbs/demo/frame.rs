//! What the demo's screen shows of one instant: plain values, so that the screen can be tested without a simulation
//! and the simulation without a screen.

use crate::verbs::picture::{self, Tile};
use std::fmt::Write as _;

#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) cluster: String,
    /// Day and time in the cluster's zone.
    pub(super) clock: String,
    pub(super) goal: String,
    pub(super) tiles: Vec<Tile>,
    pub(super) hosts_on: u32,
    pub(super) watts: u64,
    /// What all hosts, always on, would draw now.
    pub(super) watts_always_on: u64,
    pub(super) kwh: f64,
    pub(super) kwh_always_on: f64,
    pub(super) migrations: u64,
    pub(super) sleeps: u64,
    pub(super) wakes: u64,
    pub(super) moves: Vec<Move>,
}

/// A move under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) vm: String,
    pub(super) from: String,
    pub(super) to: String,
}

/// One line of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) clock: String,
    pub(super) words: String,
    pub(super) grave: bool,
}

impl Frame {
    pub(super) fn hosts(&self) -> usize {
        self.tiles.len()
    }

    /// Percent of `kwh_always_on` not used.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100 after the clamp")]
    pub(super) fn saved_percent(&self) -> u64 {
        if self.kwh_always_on <= 0.0 {
            return 0;
        }
        ((1.0 - self.kwh / self.kwh_always_on) * 100.0).clamp(0.0, 100.0) as u64
    }
}

/// The picture that stays when the demo is over: the cluster at its quietest, then what the night came to.
pub(super) fn farewell(quietest: &Frame, last: &Frame) -> String {
    let mut out = picture::draw(&quietest.tiles);
    _ = writeln!(
        out,
        "\n{} at its quietest, {}:\n  {} of {} hosts on, {} W instead of {} W",
        quietest.cluster,
        quietest.clock,
        quietest.hosts_on,
        quietest.hosts(),
        quietest.watts,
        quietest.watts_always_on,
    );
    _ = writeln!(
        out,
        "All of it, until {}:\n  {:.2} kWh instead of {:.2} kWh, {} % less; {} moves, {} sleeps, {} wakes",
        last.clock,
        last.kwh,
        last.kwh_always_on,
        last.saved_percent(),
        last.migrations,
        last.sleeps,
        last.wakes,
    );
    out
}
