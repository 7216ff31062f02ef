//! `dormouse export lab-hours`: a made-up trace of demand for the VMs of a cluster, as CSV (docs/traces.md).

use super::input;
use crate::cli::{Ctx, Failure};
use dormouse_model::PolicyName;
use dormouse_model::text::quoted;
use dormouse_sim::night_cluster;
use dormouse_sim::trace::{LabHours, vms_of};
use jiff::civil::{Date, date};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// A Monday in term.
const START: Date = date(2026, 1, 12);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A cluster text whose VMs are used; the lab of 62 PCs unless given; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// The first day
    #[arg(long, value_name = "DATE", default_value_t = START)]
    start: Date,

    /// How many days
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,

    /// Days with exams instead of lectures, like 2026-02-02..2026-02-15; may be repeated
    #[arg(long, value_name = "DATE..DATE", value_parser = span)]
    exams: Vec<RangeInclusive<Date>>,

    /// The same seed gives the same trace
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let cluster = match &args.cluster {
        Some(path) => input::cluster(path)?,
        None => night_cluster(PolicyName::Balanced),
    };
    let vms = vms_of(&cluster);
    if vms.is_empty() {
        return Err(
            Failure::usage("the cluster has no VM").hint("a line `vm pc[01-10]@h[01-10] …` adds some")
        );
    }
    if let Some(vm) = vms.iter().find(|vm| !vm.has_plain_name()) {
        let what = format!("the VM {} cannot stand in a trace", quoted(&vm.name));
        return Err(Failure::usage(what).hint("names in a trace hold no comma, quote or control character"));
    }
    let hours = LabHours { start: args.start, days: args.days, exams: args.exams.clone(), seed: args.seed };
    ctx.print(&hours.trace(vms).to_csv())
}

fn span(text: &str) -> Result<RangeInclusive<Date>, String> {
    let wrong = || "write two days like 2026-02-02..2026-02-15, the first one first".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let date = |text: &str| text.parse::<Date>().map_err(|_| wrong());
    let span = date(from)?..=date(to)?;
    if span.is_empty() { Err(wrong()) } else { Ok(span) }
}
