//! `dormouse plan`: what would be done to a cluster, and why not more. Changes nothing.

mod json;
mod text;
mod timeline;

use super::input::{self, PolicyArgs};
use super::when;
use crate::cli::{Ctx, Failure, Format, safe};
use dormouse_model::schedule::{Schedule, WindowGoal};
use dormouse_model::{Cluster, Goal, Millis, Plan, PlanId, Report, Snapshot};
use jiff::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use text::action as action_words;

/// Without windows in the cluster text hosts stay asleep for so long.
pub(crate) const HORIZON: Millis = Millis::from_mins(8 * 60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A cluster text (docs/cluster-text.md); `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// What the plan is for
    #[arg(long, value_enum, default_value_t = GoalName::Compact)]
    goal: GoalName,

    /// How long hosts will be able to sleep
    #[arg(long, value_name = "SPAN", default_value = "8h", value_parser = horizon)]
    horizon: Millis,

    /// The goal that the calendar sets at this time: `Fri 22:00`, `tomorrow 6:30`, `in 2h`, 2026-12-01T20:00
    #[arg(long, value_name = "TIME", conflicts_with_all = ["goal", "horizon"])]
    at: Option<String>,

    /// Answer with the best plan found within this time, like 10ms; reading the text is not part of it
    #[arg(long, value_name = "SPAN", value_parser = deadline)]
    deadline: Option<Duration>,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Every step on a line of its own, nothing folded
    #[arg(long)]
    all: bool,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum GoalName {
    /// Few hosts on
    Compact,
    /// End overloads, restore reserves
    Relieve,
    /// All hosts up, VMs home
    Spread,
    /// Nothing
    Hold,
}

fn horizon(text: &str) -> Result<Millis, String> {
    dormouse_model::text::duration(text).ok_or_else(|| "write a time like 90m or 8h".to_owned())
}

fn deadline(text: &str) -> Result<Duration, String> {
    let span =
        dormouse_model::text::duration(text).ok_or_else(|| "write a time like 10ms or 2s".to_owned())?;
    Ok(Duration::from_millis(span.0))
}

/// Looking at all placements takes no longer, a slow machine given; where less is left of a deadline it is not begun.
const EXACT_WITHIN: Duration = Duration::from_millis(250);

/// After this share of a deadline nothing new is begun: what has been found is still to be put in order.
const BEGIN_UNTIL: (u32, u32) = (3, 4);

impl GoalName {
    pub(crate) const fn goal(self, horizon: Millis) -> Goal {
        match self {
            Self::Compact => Goal::Compact { horizon },
            Self::Relieve => Goal::Relieve,
            Self::Spread => Goal::Spread { wake_off: false },
            Self::Hold => Goal::Hold,
        }
    }
}

/// A plan with everything that showing it needs.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) snapshot: Snapshot,
    pub(crate) plan: Plan,
    pub(crate) report: Report,
    pub(crate) took: Duration,
    /// The deadline, where it kept the planner from going on.
    pub(crate) cut_short: Option<Duration>,
    pub(crate) exact: Exactly,
    /// For which time, where that is not now.
    pub(crate) as_of: Option<AsOf>,
}

/// The time that a plan is for, and what is assumed of it.
#[derive(Debug)]
pub(crate) struct AsOf {
    /// RFC 3339, in the cluster's zone.
    at: String,
    words: String,
}

impl AsOf {
    pub(crate) fn new(schedule: &Schedule, at: Timestamp, live: bool) -> Self {
        let shown = at.to_zoned(schedule.zone.rules().clone());
        let moment = schedule.at(at);
        let window = moment.window.map_or_else(
            || "no window is in force then".to_owned(),
            |window| format!("window {} is in force then", safe(&window.name)),
        );
        let now = if live { "as they are now" } else { "as the text says" };
        Self {
            at: shown.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            words: format!(
                "As of {}: {window}. Assumed: hosts, VMs and their demand {now}; no forecast, no orders.",
                shown.strftime("%a %Y-%m-%d %H:%M %Z")
            ),
        }
    }
}

/// Which bounds were found by looking at all placements: some placement has so few hosts on, or stands at so little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exactly {
    pub(crate) hosts: bool,
    pub(crate) watts: bool,
}

impl Exactly {
    /// Sharpens the bounds of a report where the cluster is small enough for that. A plan is no worse than its bound.
    fn sharpen(snapshot: &Snapshot, report: &mut Report) -> Self {
        let found = dormouse_planner::exact(snapshot);
        if let Some(hosts) = found.hosts {
            report.lower_bound = hosts.min(report.hosts_on_after);
        }
        if let Some(watts) = found.watts {
            report.watts_bound = watts.min(report.watts_standing);
        }
        Self { hosts: found.hosts.is_some(), watts: found.watts.is_some() }
    }
}

impl Planned {
    /// Plans, and lets the checker, which shares no code with the planner, have the last word.
    pub(crate) fn make(cluster: Cluster, goal: Goal, deadline: Option<Duration>) -> Result<Self, Failure> {
        let snapshot = Snapshot::of(&Arc::new(cluster));
        let started = Instant::now();
        let until = deadline.map(|deadline| deadline * BEGIN_UNTIL.0 / BEGIN_UNTIL.1);
        let mut cut_short = None;
        let mut more = || {
            let time = until.is_none_or(|until| started.elapsed() < until);
            cut_short = cut_short.or(deadline.filter(|_| !time));
            time
        };
        let (plan, mut report) = dormouse_planner::plan_within(&snapshot, goal, PlanId(1), &mut more);
        let took = started.elapsed();
        let violations = dormouse_planner::check(&snapshot, &plan);
        if let Some(first) = violations.first() {
            return Err(Failure::new(format!("the plan breaks {} rules and was dropped", violations.len()))
                .because_of(first.to_string())
                .hint("this is a mistake in the planner: please report it with the cluster text"));
        }
        let time = deadline.is_none_or(|deadline| started.elapsed() + EXACT_WITHIN < deadline);
        let exact = if time && matches!(goal, Goal::Compact { .. }) {
            Exactly::sharpen(&snapshot, &mut report)
        } else {
            Exactly::default()
        };
        Ok(Self { snapshot, plan, report, took, cut_short, exact, as_of: None })
    }

    /// For people.
    #[cfg(feature = "live")]
    pub(crate) fn text(&self) -> String {
        text::render(self, false)
    }

    /// For programs: the documented fields.
    #[cfg(feature = "live")]
    pub(crate) fn json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(json::Document::of(self))
    }

    pub(crate) fn print(&self, ctx: &Ctx, format: Format, all: bool) -> Result<(), Failure> {
        match format {
            Format::Text => ctx.print(&text::render(self, all)),
            Format::Json => ctx.print_json(&json::Document::of(self)),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let Some(path) = &args.cluster else {
        #[cfg(feature = "live")]
        return crate::verbs_live::plan(ctx, args.at.as_deref(), args.format);
        #[cfg(not(feature = "live"))]
        return Err(Failure::usage("no cluster to plan for").hint("name a cluster text with --cluster FILE"));
    };
    let mut cluster = input::cluster(path)?;
    args.policy.apply(&mut cluster.policy)?;
    let (goal, as_of) = match &args.at {
        Some(said) => {
            let at = said_time(said, &cluster.schedule, input::now())?;
            (goal_at(&cluster.schedule, at), Some(AsOf::new(&cluster.schedule, at, false)))
        }
        None => (args.goal.goal(args.horizon), None),
    };
    let planned = Planned::make(cluster, goal, args.deadline)?;
    Planned { as_of, ..planned }.print(ctx, args.format, args.all)
}

pub(crate) fn said_time(said: &str, schedule: &Schedule, now: Timestamp) -> Result<Timestamp, Failure> {
    when::time(said, schedule, now).ok_or_else(|| {
        Failure::usage(format!("`{}` is no time that is understood", safe(said))).hint(when::TIMES)
    })
}

/// The goal that the calendar sets at that time. From an opening's up-by on it is the opening's.
pub(crate) fn goal_at(schedule: &Schedule, now: Timestamp) -> Goal {
    let moment = schedule.at(now);
    let up_by = moment.next_opening.as_ref().map(|opening| opening.up_by);
    if let Some(opening) = moment.next_opening.as_ref().filter(|opening| opening.up_by <= now) {
        return Goal::Spread { wake_off: opening.window.wake_all };
    }
    match moment.goal {
        WindowGoal::Spread => Goal::Spread { wake_off: moment.window.is_some_and(|window| window.wake_all) },
        WindowGoal::Hold => Goal::Hold,
        WindowGoal::Compact => {
            let end = [moment.until, up_by].into_iter().flatten().min();
            let left = end.and_then(|end| u64::try_from(end.as_millisecond() - now.as_millisecond()).ok());
            Goal::Compact { horizon: left.map_or(HORIZON, Millis) }
        }
    }
}
