//! `dormouse replay`: what policies would have made of days of measured demand.
//!
//! It reads fleet and traces, has each day played under each policy, and prints one table. How a day is played and what
//! it came to is the simulator's business.

mod input;
mod play;
mod table;

use super::figures;
use crate::cli::{Ctx, Exit, Failure, Format};
use dormouse_sim::replay::{Day, Fleet, Policy, Rules, all, named};
use input::PolicyList;
use std::path::PathBuf;

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

    /// Policies under test, separated by commas, or all
    #[arg(long, value_name = "P[,P…]", default_value = "all", value_parser = input::policies)]
    policy: PolicyList,

    /// Override a knob of seed and balanced, like failover=0; may be repeated
    #[arg(long, value_name = "KNOB=VALUE", value_parser = super::input::knob_and_value)]
    set: Vec<(String, String)>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let fleet = input::fleet(&args.fleet)?;
    let names: Vec<String> = match &args.policy {
        PolicyList::All => all().map(str::to_owned).collect(),
        PolicyList::These(names) => names.clone(),
    };
    // What is wrong with a policy is said before hours are spent on the others.
    for name in &names {
        policy(name, &fleet, &args.set)?;
    }
    let traces = input::traces(&args.traces)?;
    let days = play::all(&fleet, args.rules, &traces, &names, |name| policy(name, &fleet, &args.set))?;
    match args.format {
        Format::Json => ctx.print_json(&days)?,
        Format::Text => ctx.print(&table::text(&days))?,
    }
    judge(&days)
}

fn policy(name: &str, fleet: &Fleet, set: &[(String, String)]) -> Result<Box<dyn Policy + Send>, Failure> {
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
