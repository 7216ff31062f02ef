//! What verbs read: a cluster text and overrides of its policy. Files are read here and nowhere else.

use crate::cli::{Ctx, Failure, safe};
use crate::config::{self, Loaded};
use dormouse_model::schedule::Schedule;
use dormouse_model::text::TextError;
use dormouse_model::{Cluster, Policy, PolicyName, text};
use jiff::Timestamp;
use jiff::civil::DateTime;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// More than any cluster: 10,000 hosts take about 1 MiB.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// `--policy` and `--set`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Use this policy instead of the text's: balanced, seed
    #[arg(long, value_name = "NAME", value_parser = policy_name)]
    policy: Option<PolicyName>,

    /// Override a knob of the policy line, like failover=0; may be repeated
    #[arg(long, value_name = "KNOB=VALUE", value_parser = knob_and_value)]
    set: Vec<(String, String)>,
}

fn policy_name(text: &str) -> Result<PolicyName, String> {
    PolicyName::ALL
        .into_iter()
        .find(|name| name.as_str() == text)
        .ok_or_else(|| "use balanced or seed".to_owned())
}

pub(crate) fn knob_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((knob, value)) => Ok((knob.trim().to_owned(), value.trim().to_owned())),
        None => Err("write KNOB=VALUE, like failover=0".to_owned()),
    }
}

impl PolicyArgs {
    /// Overrides on top of what the text says. Another policy keeps the knobs that the text sets by itself.
    pub(crate) fn apply(&self, policy: &mut Policy) -> Result<(), Failure> {
        if let Some(name) = self.policy.filter(|name| *name != policy.name) {
            let mut other = Policy::named(name);
            let before = Policy::named(policy.name).knobs;
            for ((knob, value), (_, standard)) in policy.knobs.entries().zip(before.entries()) {
                if value != standard {
                    other.knobs.set(knob, &value).expect("a knob reads what it shows");
                }
            }
            *policy = other;
        }
        for (knob, value) in &self.set {
            policy.knobs.set(knob, value).map_err(|error| {
                Failure::usage(format!("cannot use --set {knob}={value}"))
                    .because(&error)
                    .hint("`dormouse config explain` lists every knob")
            })?;
        }
        Ok(())
    }
}

/// Reads a file, or stdin where the path is `-`.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error: &io::Error| Failure::new(format!("cannot read `{}`", path.display())).because(error);
    let source: Box<dyn io::Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| failed(&error))?)
    };
    let mut bytes = vec![];
    source.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(failed(&io::Error::other(format!("larger than {} MiB", INPUT_BYTES_MAX >> 20))));
    }
    String::from_utf8(bytes).map_err(|error| {
        Failure::usage(format!("`{}` is not UTF-8 text", path.display())).because(&error.utf8_error())
    })
}

pub(crate) fn cluster(path: &Path) -> Result<Cluster, Failure> {
    let source = read(path).map_err(|failure| match path.try_exists() {
        Ok(false) if path != Path::new("-") => {
            failure.hint("docs/cluster-text.md says how to write one; --cluster FILE names another")
        }
        _ => failure,
    })?;
    text::parse(&source).map_err(|error| bad_text("the cluster text", path, &source, error))
}

/// The settings in force for this call: `--config`, the usual file, the environment.
pub(crate) fn settings(ctx: &Ctx) -> Result<Loaded, Failure> {
    // What is no text cannot be a setting of ours.
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    config::load(ctx.config.as_deref(), std::env::vars_os().filter_map(text)).map_err(Failure::from)
}

/// A day and a time as a clock on the wall shows it; a day alone is its midnight.
pub(crate) fn shown_time(text: &str) -> Result<DateTime, String> {
    text.parse().map_err(|_| "write a day and a time like 2026-12-01T20:00".to_owned())
}

/// The wall clock, for calendars.
#[expect(
    clippy::disallowed_methods,
    reason = "the calendar's own time; the driver's clock is not there without `live`"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// The instant at which clocks of the cluster's zone show this.
pub(crate) fn instant(schedule: &Schedule, shown: DateTime) -> Result<Timestamp, Failure> {
    shown.to_zoned(schedule.zone.rules().clone()).map(|zoned| zoned.timestamp()).map_err(|error| {
        Failure::usage(format!("no such time in zone {}: {shown}", schedule.zone)).because(&error)
    })
}

/// A mistake in a text, shown with its line; what to write instead is the hint.
pub(crate) fn bad_text(what: &str, path: &Path, source: &str, mut error: TextError) -> Failure {
    let hint = error.hint.take();
    let shown = path.display().to_string();
    let failure = Failure::usage(format!("{what} `{}` cannot be used", safe(&shown)))
        .because_of(error.render(&shown, source).trim_end());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
