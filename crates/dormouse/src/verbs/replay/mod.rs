//! `dormouse replay`: what policies would have made of days of measured demand.
//!
//! It reads fleet and traces, has each day played under each policy, and prints one table or writes a page. How a day is
//! played and what it came to is the simulator's business.

mod hsqueeze;
mod html;
mod htools;
mod input;
mod play;
mod table;

use super::figures;
use crate::cli::{Ctx, Exit, Failure, Format, safe};
use dormouse_sim::replay::{Day, Fleet, Policy, Rules, all, named};
use hsqueeze::Hsqueeze;
use input::PolicyList;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Traces of demand, plain or gzip: docs/traces.md
    #[arg(value_name = "TRACE", required = true)]
    traces: Vec<PathBuf>,

    /// `planetlab`, the 800 hosts of the literature, or a cluster text whose hosts are taken
    #[arg(long, value_name = "NAME|FILE", default_value = input::PLANETLAB)]
    fleet: PathBuf,

    /// honest: every VM runs all day. churn: idle VMs are stopped and started again
    #[arg(long, value_name = "RULES", default_value_t, value_parser = input::rules, hide_possible_values = true)]
    rules: Rules,

    /// Policies under test, separated by commas, or all; with Ganeti's hsqueeze where it is installed, up to 62 hosts
    #[arg(long, value_name = "P[,P…]", default_value = "all", value_parser = input::policies)]
    policy: PolicyList,

    /// Override a knob of seed and balanced, like failover=0; may be repeated
    #[arg(long, value_name = "KNOB=VALUE", value_parser = super::input::knob_and_value)]
    set: Vec<(String, String)>,

    /// Write a report with plots as well: one page that needs nothing beside it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let fleet = input::fleet(&args.fleet)?;
    let (names, left_out) = match &args.policy {
        PolicyList::All => every(&fleet),
        PolicyList::These(names) => (names.clone(), None),
    };
    let peers = Peers::default();
    // What is wrong with a policy is said before hours are spent on the others.
    for name in &names {
        policy(name, &fleet, &args.set, &peers)?;
    }
    let traces = input::traces(&args.traces)?;
    if let Some(why) = left_out {
        // Nothing sensible can be done when stderr is gone.
        _ = writeln!(anstream::stderr().lock(), "{}", safe(&why));
    }
    let days =
        play::all(&fleet, args.rules, &traces, &names, |name| policy(name, &fleet, &args.set, &peers))?;
    peers.judge()?;
    if let Some(path) = &args.html {
        std::fs::write(path, html::page(&days)).map_err(|error| {
            let shown = path.display().to_string();
            Failure::new(format!("cannot write the page `{}`", safe(&shown))).because(&error)
        })?;
    }
    match args.format {
        Format::Json => ctx.print_json(&days)?,
        Format::Text => ctx.print(&table::text(&days))?,
    }
    judge(&days)
}

/// Every policy that can be had here, and a word on what cannot.
fn every(fleet: &Fleet) -> (Vec<String>, Option<String>) {
    let mut names: Vec<String> = all().map(str::to_owned).collect();
    let left_out = hsqueeze::missing(fleet);
    if left_out.is_none() {
        names.push(hsqueeze::NAME.to_owned());
    }
    (names, left_out)
}

/// Programs of others under test, and what became of them.
#[derive(Debug, Default)]
struct Peers(Mutex<Vec<Arc<OnceLock<String>>>>);

impl Peers {
    fn watch(&self, trouble: Arc<OnceLock<String>>) {
        self.0.lock().expect("nobody panics holding it").push(trouble);
    }

    /// A row of a program that gave up half way would be no comparison.
    fn judge(&self) -> Result<(), Failure> {
        let peers = self.0.lock().expect("nobody panics holding it");
        match peers.iter().find_map(|trouble| trouble.get()) {
            None => Ok(()),
            Some(trouble) => Err(Failure::new("hsqueeze failed")
                .because_of(trouble.clone())
                .hint("--policy names the others, separated by commas")),
        }
    }
}

fn policy(
    name: &str,
    fleet: &Fleet,
    set: &[(String, String)],
    peers: &Peers,
) -> Result<Box<dyn Policy + Send>, Failure> {
    if name == hsqueeze::NAME {
        if let Some(why) = hsqueeze::missing(fleet) {
            return Err(Failure::usage("the policy cannot be had").because_of(why));
        }
        let peer = Hsqueeze::new(fleet)?;
        peers.watch(peer.trouble());
        return Ok(Box::new(peer));
    }
    named(name, fleet, set).map_err(|error| {
        let failure = Failure::with_exit(Exit::Usage, "the policy cannot be had").because(&error);
        match error {
            dormouse_sim::replay::PolicyError::Knob { .. } => {
                failure.hint("`dormouse config explain` lists every knob")
            }
            _ => failure.hint(format!("the policies are {}", all().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// A day on which a hard constraint was broken has failed, whatever it saved.
fn judge(days: &[Day]) -> Result<(), Failure> {
    let broken: Vec<String> = days
        .iter()
        .flat_map(|day| {
            let (trace, policy) = (&day.figures.trace, &day.figures.policy);
            day.figures.violations.iter().map(move |what| format!("{trace}, {policy}: {what}"))
        })
        .collect();
    figures::judge_words(&broken)
}
