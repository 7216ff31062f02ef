//! `dormouse demo`: a closing-to-opening night of a 62-host lab, simulated and accelerated, with the program's real
//! control. On a terminal it is played on the screen; without one, or with `--night`, it prints the figures.

mod frame;
mod night;
mod play;
mod screen;
mod trail;

use super::figures;
use super::input::{self, PolicyArgs};
use crate::cli::{Ctx, Failure, Format};
use dormouse_model::{Millis, PolicyName};
use night::Night;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// No screen: play the night as fast as it goes and print the figures
    #[arg(long)]
    night: bool,

    /// Another cluster than the lab of 62 hosts, from a Monday 19:30 to Tuesday 09:10
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Chance of the simulation: same seed, same night
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Times faster on the screen: 2, 4, 8 …
    #[arg(long, default_value_t = 1, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(1..))]
    speed: u32,

    /// For people or for programs; `json` implies --night
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One slice of a night without a screen.
const SLICE: Millis = Millis::from_mins(1);

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let mut cluster = match &args.cluster {
        Some(path) => input::cluster(path)?,
        None => dormouse_sim::night_cluster(PolicyName::Balanced),
    };
    args.policy.apply(&mut cluster.policy)?;
    let started = Instant::now();
    let mut night = Night::new(cluster, args.seed);
    let on_screen = !args.night && args.format == Format::Text && ctx.is_interactive();
    if on_screen {
        play::play(&mut night, play::Gear::of(args.speed))?;
    } else {
        while !night.is_over() {
            night.advance(SLICE);
        }
    }
    let farewell = frame::farewell(&night.quietest(), &night.frame());
    let mut result = night.result();
    result.figures.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match args.format {
        Format::Json => ctx.print_json(&result.figures)?,
        Format::Text if on_screen => ctx.print(&farewell)?,
        Format::Text => ctx.print(&format!("{farewell}\n{}", figures::text(&result.figures)))?,
    }
    figures::judge(&result.violations)
}
