//! What a simulated run comes to, for people, and whether it broke a rule.

use crate::cli::{Failure, Table};
use dormouse_sim::{Figures, Violation};

/// Broken rules that are named one by one.
const NAMED_MAX: usize = 5;

pub(crate) fn text(figures: &Figures) -> String {
    let saved = if figures.energy_always_on_kwh > 0.0 {
        (1.0 - figures.energy_kwh / figures.energy_always_on_kwh) * 100.0
    } else {
        0.0
    };
    let mut table = Table::new(&["figure", "value"]);
    for (what, value) in [
        ("policy", figures.policy.clone()),
        ("seed", figures.seed.to_string()),
        ("time", format!("{:.2} days", figures.days)),
        ("energy", format!("{:.3} kWh", figures.energy_kwh)),
        ("always on", format!("{:.3} kWh; {saved:.1} % less", figures.energy_always_on_kwh)),
        ("hosts on", format!("{:.2} on average, {} at least", figures.hosts_on_mean, figures.hosts_on_min)),
        ("moves", format!("{}, of which back and forth {}", figures.migrations, figures.thrash)),
        ("sleeps", figures.sleeps.to_string()),
        ("wakes", figures.wakes.to_string()),
        ("overload", format!("{:.4} % of the time hosts were on (SLATAH)", figures.slatah * 100.0)),
        ("cost of moves", format!("{:.4} % of the demand (PDM)", figures.pdm * 100.0)),
        ("unserved", format!("{:.4} % of the demand", figures.unserved_share * 100.0)),
        ("VMs waiting", format!("{:.2} minutes", figures.waiting_vm_min)),
        ("rules broken", figures.violations.len().to_string()),
    ] {
        table.row([what, &value]);
    }
    table.to_string()
}

/// A run that broke a rule has failed, whatever it saved.
pub(crate) fn judge(violations: &[Violation]) -> Result<(), Failure> {
    judge_words(&violations.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// The same for rules told in words.
pub(crate) fn judge_words(violations: &[String]) -> Result<(), Failure> {
    if violations.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(match violations.len() {
        1 => "a rule was broken".to_owned(),
        count => format!("{count} rules were broken"),
    });
    for violation in violations.iter().take(NAMED_MAX) {
        failure = failure.because_of(violation.as_str());
    }
    Err(match violations.len().saturating_sub(NAMED_MAX) {
        0 => failure,
        more => failure.because_of(format!("… and {more} more")),
    })
}
