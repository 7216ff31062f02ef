//! `dormouse config`: what the policy's knobs are and what they mean.

use crate::cli::{Ctx, Failure, Format, Table};
use dormouse_model::{KNOBS, Policy};
use serde::Serialize;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print the effective values and what each means
    Explain(ExplainArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Knob {
    name: &'static str,
    value: String,
    takes: &'static str,
    help: &'static str,
}

pub(crate) fn run(command: Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Explain(args) => explain(&args, ctx),
    }
}

fn explain(args: &ExplainArgs, ctx: &Ctx) -> Result<(), Failure> {
    let policy = Policy::default();
    let knobs: Vec<Knob> = KNOBS
        .iter()
        .zip(policy.knobs.entries())
        .map(|(knob, (name, value))| Knob { name, value, takes: knob.takes, help: knob.help })
        .collect();
    if args.format == Format::Json {
        return ctx.print_json(&knobs);
    }
    let mut table = Table::new(&["knob", "value", "meaning"]);
    for knob in &knobs {
        table.row([knob.name, &knob.value, knob.help]);
    }
    ctx.print(&table.to_string())
}
