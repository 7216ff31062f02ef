//! A person's word to the daemon: `pause`, `resume`, `normalise`, `refresh`, `apply`.

use super::span;
use crate::cli::{Ctx, Exit, Failure};
use crate::daemon::client::Client;
use crate::daemon::wire::{OrderWord, PlanView, Verb};
use dormouse_model::Millis;
use std::io::BufRead as _;

#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    /// Go on by itself after so long
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    span: Option<Millis>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RefreshArgs {
    /// Only these hosts
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn pause(args: &PauseArgs, ctx: &Ctx) -> Result<(), Failure> {
    let until = args.span.map_or_else(|| "until `dormouse resume`".to_owned(), |span| format!("for {span}"));
    give(
        ctx,
        OrderWord::Pause { for_ms: args.span.map(|span| span.0) },
        &format!("paused {until}; what runs will end"),
    )
}

pub(crate) fn resume(ctx: &Ctx) -> Result<(), Failure> {
    give(ctx, OrderWord::Resume, "resumed")
}

pub(crate) fn normalise(ctx: &Ctx) -> Result<(), Failure> {
    give(
        ctx,
        OrderWord::Normalise,
        "all hosts will be woken and the VMs spread, until `dormouse resume` or the next window",
    )
}

pub(crate) fn refresh(args: &RefreshArgs, ctx: &Ctx) -> Result<(), Failure> {
    give(ctx, OrderWord::Refresh { hosts: args.hosts.clone() }, "looking")
}

/// Shows the plan, asks, and has it carried out. The daemon plans once more at that moment.
pub(crate) fn apply(args: &ApplyArgs, ctx: &Ctx) -> Result<(), Failure> {
    let mut client = Client::connect(ctx)?;
    let plan: PlanView = client.ask(Verb::Plan { at_ms: None })?;
    ctx.print(&plan.text)?;
    if plan.steps == 0 {
        return Err(Failure::with_exit(Exit::Nothing, "there is nothing to do"));
    }
    if !args.yes {
        if !ctx.is_interactive() {
            return Err(
                Failure::usage("nobody is there to ask").hint("--yes carries the plan out without asking")
            );
        }
        ctx.print("\nCarry it out? [y/N] ")?;
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::new("cannot read the answer").because(&error))?;
        if !matches!(line.trim(), "y" | "Y" | "yes") {
            return ctx.print("Nothing was done.\n");
        }
    }
    client.order(OrderWord::Apply)?;
    ctx.print("Under way: `dormouse status` and `dormouse events --follow` show it.\n")
}

/// Hands the order over and says what it means, or why it was refused.
pub(crate) fn give(ctx: &Ctx, order: OrderWord, meaning: &str) -> Result<(), Failure> {
    Client::connect(ctx)?.order(order)?;
    ctx.print(&format!("{}\n", crate::cli::safe(meaning)))
}
