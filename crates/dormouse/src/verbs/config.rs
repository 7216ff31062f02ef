//! `dormouse config`: whether settings and cluster text hold together, and what they amount to.

use super::input::{self, PolicyArgs};
use crate::cli::{Ctx, Failure, Format, Table, counted, safe, style};
use crate::config::{Loaded, Source};
use dormouse_model::schedule::{Schedule, WindowGoal};
use dormouse_model::{Cluster, KNOBS, Policy};
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// So far ahead windows are listed: two weeks show every weekday twice.
const DAYS: u32 = 14;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say whether settings and cluster text hold together; exit code 2 and the place of the mistake if not
    Check(CheckArgs),
    /// Print the effective settings and knobs, what each means, and the next 14 days of windows
    Explain(ExplainArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Only this cluster text, without the daemon's settings; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Only this cluster text, without the daemon's settings; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    #[command(flatten)]
    policy: PolicyArgs,

    /// List windows from this time of the cluster's zone on, like 2026-12-01T00:00; now unless given
    #[arg(long, value_name = "TIME", value_parser = input::shown_time)]
    from: Option<DateTime>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Explanation {
    /// The daemon's own; none where only a cluster text was asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settings: Vec<Setting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    policy: &'static str,
    knobs: Vec<Knob>,
    zone: String,
    windows: Vec<Opening>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: &'static str,
    value: String,
    /// `standard`, `file`, `environment`.
    from: &'static str,
    takes: &'static str,
    help: &'static str,
}

impl Setting {
    fn all(loaded: &Loaded) -> Vec<Self> {
        let entries = loaded.entries().map(|(key, value, source)| Self {
            name: key.name,
            value,
            from: match source {
                Source::Default => "standard",
                Source::File => "file",
                Source::Environment => "environment",
            },
            takes: key.takes,
            help: key.help,
        });
        entries.collect()
    }
}

#[derive(Debug, Serialize)]
struct Knob {
    name: &'static str,
    value: String,
    /// What this policy starts from.
    standard: String,
    takes: &'static str,
    help: &'static str,
}

/// One opening of a window, in the cluster's zone.
#[derive(Debug, Serialize)]
struct Opening {
    window: String,
    goal: &'static str,
    start: String,
    end: String,
    up_by: String,
    #[serde(skip)]
    day: String,
    #[serde(skip)]
    hours: String,
    #[serde(skip)]
    up_by_hour: String,
}

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check(args, ctx),
        Command::Explain(args) => explain(args, ctx),
    }
}

fn check(args: &CheckArgs, ctx: &Ctx) -> Result<(), Failure> {
    let good = style::GOOD;
    let path = match &args.cluster {
        Some(path) => path.clone(),
        None => {
            let Loaded { config, file, .. } = input::settings(ctx)?;
            let file =
                file.map_or_else(|| "no file, all as standard".to_owned(), |file| file.display().to_string());
            ctx.print(&format!("{good}ok{good:#}: settings ({}), mode {}\n", safe(&file), config.mode))?;
            config.cluster
        }
    };
    let cluster = input::cluster(&path)?;
    ctx.print(&format!(
        "{good}ok{good:#}: cluster {}, {}, {}, {}, policy {}\n",
        safe(&cluster.name),
        counted(cluster.hosts.len(), "host"),
        counted(cluster.vms.len(), "VM"),
        counted(cluster.schedule.windows.len(), "window"),
        cluster.policy.name,
    ))
}

fn explain(args: &ExplainArgs, ctx: &Ctx) -> Result<(), Failure> {
    let (settings, path) = match &args.cluster {
        Some(path) => (vec![], Some(path.clone())),
        None => {
            let loaded = input::settings(ctx)?;
            // Where nothing is set up yet, there is no cluster text to explain.
            let path =
                Some(loaded.config.cluster.clone()).filter(|path| loaded.file.is_some() || path.exists());
            (Setting::all(&loaded), path)
        }
    };
    let (mut policy, schedule) = match path.as_deref().map(input::cluster).transpose()? {
        Some(Cluster { policy, schedule, .. }) => (policy, schedule),
        None => (Policy::default(), Schedule::default()),
    };
    args.policy.apply(&mut policy)?;
    let from = match args.from {
        Some(shown) => input::instant(&schedule, shown)?,
        None => input::now(),
    };
    let explanation = Explanation::of(settings, path, &policy, &schedule, from);
    match args.format {
        Format::Json => ctx.print_json(&explanation),
        Format::Text => ctx.print(&explanation.text()),
    }
}

impl Explanation {
    fn of(
        settings: Vec<Setting>,
        path: Option<PathBuf>,
        policy: &Policy,
        schedule: &Schedule,
        from: Timestamp,
    ) -> Self {
        let standard = Policy::named(policy.name);
        let values = policy.knobs.entries().zip(standard.knobs.entries());
        let knobs = KNOBS.iter().zip(values).map(|(knob, ((name, value), (_, standard)))| Knob {
            name,
            value,
            standard,
            takes: knob.takes,
            help: knob.help,
        });
        let zone = schedule.zone.rules();
        let windows = schedule.occurrences(from, DAYS).into_iter().map(|occurrence| {
            let window = &schedule.windows[occurrence.window];
            let shown = |at: Timestamp| at.to_zoned(zone.clone());
            let rfc = |at: Timestamp| shown(at).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            Opening {
                window: window.name.clone(),
                goal: match window.goal {
                    WindowGoal::Compact => "compact",
                    WindowGoal::Spread => "spread",
                    WindowGoal::Hold => "hold",
                },
                start: rfc(occurrence.start),
                end: rfc(occurrence.end),
                up_by: rfc(occurrence.up_by),
                day: shown(occurrence.start).strftime("%a %Y-%m-%d").to_string(),
                hours: format!(
                    "{}-{}",
                    shown(occurrence.start).strftime("%H:%M"),
                    shown(occurrence.end).strftime("%H:%M")
                ),
                up_by_hour: shown(occurrence.up_by).strftime("%H:%M").to_string(),
            }
        });
        Self {
            settings,
            cluster: path.map(|path| path.display().to_string()),
            policy: policy.name.as_str(),
            knobs: knobs.collect(),
            zone: schedule.zone.to_string(),
            windows: windows.collect(),
        }
    }

    fn text(&self) -> String {
        let strong = style::STRONG;
        let mut out = String::new();
        if !self.settings.is_empty() {
            _ = writeln!(out, "{strong}Settings{strong:#}");
            let mut table = Table::new(&["setting", "value", "from", "meaning"]);
            for setting in &self.settings {
                table.row([setting.name, &setting.value, setting.from, setting.help]);
            }
            _ = writeln!(out, "{table}");
        }
        let of = self
            .cluster
            .as_deref()
            .map_or_else(|| ", no cluster text yet".to_owned(), |file| format!(", from {}", safe(file)));
        _ = writeln!(out, "{strong}Policy {}{strong:#}{of}", self.policy);
        let mut table = Table::new(&["knob", "value", "standard", "meaning"]);
        for knob in &self.knobs {
            let standard = if knob.value == knob.standard { "" } else { &knob.standard };
            table.row([knob.name, &knob.value, standard, knob.help]);
        }
        _ = write!(out, "{table}");
        if self.windows.is_empty() {
            _ = writeln!(out, "\nNo window in the next {DAYS} days: the goal is always compact.");
            return out;
        }
        _ = writeln!(out, "\n{strong}Windows of the next {DAYS} days, zone {}{strong:#}", self.zone);
        let mut table = Table::new(&["day", "hours", "window", "goal", "hosts up by"]);
        for opening in &self.windows {
            let up_by = if opening.goal == "spread" { opening.up_by_hour.as_str() } else { "" };
            table.row([opening.day.as_str(), &opening.hours, &opening.window, opening.goal, up_by]);
        }
        out + &table.to_string()
    }
}
