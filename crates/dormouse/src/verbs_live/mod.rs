//! The verbs that touch real hosts: the daemon itself, and those that ask it. One module each: its arguments and `run`.

pub(crate) mod audit;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod host;
pub(crate) mod inventory;
mod kept;
pub(crate) mod orders;
pub(crate) mod run;
mod secrets;
mod shared;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod top;
pub(crate) mod vm;
pub(crate) mod wol;

use crate::cli::{Ctx, Failure, Format};
use crate::daemon::client::Client;
use crate::daemon::wire::{CalendarView, PlanView, Verb, WhyView};

/// The verbs that need a daemon, or are it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Be the daemon: observe, advise or act, as the settings say
    Run,
    /// Look at everything that must be right beforehand, and say how to mend what is not
    Doctor(doctor::Args),
    /// One look at everything
    Status(status::Args),
    /// The same on the whole screen, kept up to date: hosts, VMs, moves, events; keys to filter, sort, ask and drain
    Top(top::Args),
    /// The trail of what happened
    Events(events::Args),
    /// The audit log: what was intended, done and asked for, in a chain that shows every change
    #[command(subcommand)]
    Audit(audit::Command),
    /// What the daemon keeps: look at it, copy it, bring a copy back, move it
    #[command(subcommand)]
    Store(store::Command),
    /// The hosts: list, show, add, drain, sleep, wake …
    #[command(subcommand)]
    Host(host::Command),
    /// The VMs: list, show, move
    #[command(subcommand)]
    Vm(vm::Command),
    /// Break glass: wake machines by MAC address, without daemon, store or settings
    Wol(wol::Args),
    /// Start nothing new; what runs will end
    Pause(orders::PauseArgs),
    /// End a pause, a freeze or `normalise`
    Resume,
    /// Wake all hosts and spread the VMs over them now
    Normalise,
    /// Look at hosts now
    Refresh(orders::RefreshArgs),
    /// Show the plan and carry it out
    Apply(orders::ApplyArgs),
}

pub(crate) fn run(command: Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Run => run::run(ctx),
        Command::Doctor(args) => doctor::run(&args, ctx),
        Command::Status(args) => status::run(&args, ctx),
        Command::Top(args) => top::run(&args, ctx),
        Command::Events(args) => events::run(&args, ctx),
        Command::Audit(command) => audit::run(&command, ctx),
        Command::Store(command) => store::run(&command, ctx),
        Command::Host(command) => host::run(&command, ctx),
        Command::Vm(command) => vm::run(&command, ctx),
        Command::Wol(args) => wol::run(&args, ctx),
        Command::Pause(args) => orders::pause(&args, ctx),
        Command::Resume => orders::resume(ctx),
        Command::Normalise => orders::normalise(ctx),
        Command::Refresh(args) => orders::refresh(&args, ctx),
        Command::Apply(args) => orders::apply(&args, ctx),
    }
}

/// `plan` without a cluster text: what the daemon would do now.
pub(crate) fn plan(ctx: &Ctx, at: Option<&str>, format: Format) -> Result<(), Failure> {
    let mut client = Client::connect(ctx).map_err(or_a_text)?;
    let at_ms = match at {
        None => None,
        Some(said) => {
            // On the daemon's clock, which in the lab is another one.
            let calendar: CalendarView = client.ask(Verb::Calendar)?;
            let odd =
                || Failure::new("the daemon's calendar makes no sense").hint("restart it after an upgrade");
            let cluster = dormouse_model::text::parse(&calendar.text).map_err(|_| odd())?;
            let now = jiff::Timestamp::from_millisecond(calendar.now_ms).map_err(|_| odd())?;
            Some(crate::verbs::plan::said_time(said, &cluster.schedule, now)?.as_millisecond())
        }
    };
    let plan: PlanView = client.ask(Verb::Plan { at_ms })?;
    match format {
        Format::Text => ctx.print(&plan.text),
        Format::Json => ctx.print_json(&plan.plan),
    }
}

/// `why` without a cluster text: in the daemon's picture.
pub(crate) fn why(ctx: &Ctx, name: &str, format: Format) -> Result<(), Failure> {
    let why: WhyView = Client::connect(ctx).map_err(or_a_text)?.ask(Verb::Why { name: name.to_owned() })?;
    match format {
        Format::Text => ctx.print(&why.text),
        Format::Json => ctx.print_json(&why.why),
    }
}

/// These verbs need no daemon where they are given a cluster text.
fn or_a_text(failure: Failure) -> Failure {
    failure.hint("start it with `dormouse run`, or give a cluster text with --cluster FILE")
}

/// A span as people write it: `2h`, `90s`.
pub(crate) fn span(text: &str) -> Result<dormouse_model::Millis, String> {
    dormouse_model::text::duration(text).ok_or_else(|| "write a time like 30m or 2h".to_owned())
}

/// How long something has been so, for people.
pub(crate) fn age(ms: u64) -> String {
    dormouse_model::Millis(ms).to_string()
}
