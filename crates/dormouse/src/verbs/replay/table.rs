//! All policies side by side, for people: a table for each day, and one over all days where there are several.

use crate::cli::{Table, counted, safe, style};
use dormouse_model::{Policy, PolicyName};
use dormouse_sim::replay::{Day, Figures};
use std::fmt::Write as _;

const HEAD: [&str; 12] = [
    "policy",
    "kWh ",
    "/ floor ",
    "/ bound ",
    "hosts on ",
    "least ",
    "moves ",
    "wakes ",
    "unserved % ",
    "SLATAH % ",
    "PDM % ",
    "waiting min ",
];

pub(super) fn text(days: &[Day]) -> String {
    let mut out = String::new();
    let Some(first) = days.first().map(|day| &day.figures) else { return out };
    let strong = style::STRONG;
    let fleet = safe(&first.fleet);
    _ = writeln!(
        out,
        "{strong}fleet {fleet}{strong:#} ({}), rules {}",
        counted(first.hosts as usize, "host"),
        first.rules
    );
    let groups: Vec<&[Day]> = days.chunk_by(|a, b| a.figures.trace == b.figures.trace).collect();
    for group in &groups {
        let figures = &group[0].figures;
        _ = writeln!(
            out,
            "\n{strong}{}{strong:#}: {}, floor {} kWh, bound {} kWh",
            safe(&figures.trace),
            counted(figures.vms as usize, "VM"),
            kwh(figures.floor_kwh),
            kwh(figures.bound_kwh)
        );
        out += &rows(group.iter().map(|day| Sum::of(std::slice::from_ref(day))));
    }
    if groups.len() > 1 {
        _ = writeln!(out, "\n{strong}all {} days{strong:#}, figures of a day on average", groups.len());
        let of = |policy: &str| days.iter().filter(|day| day.figures.policy == policy).collect::<Vec<_>>();
        out += &rows(groups[0].iter().map(|day| Sum::of_refs(&of(&day.figures.policy))));
    }
    out += &knobs(groups[0]);
    out
}

/// Figures of some days under one policy, for a day on average.
struct Sum<'a> {
    policy: &'a str,
    days: f64,
    figures: Vec<&'a Figures>,
}

impl<'a> Sum<'a> {
    fn of(days: &'a [Day]) -> Self {
        Self::of_refs(&days.iter().collect::<Vec<_>>())
    }

    fn of_refs(days: &[&'a Day]) -> Self {
        let figures: Vec<&Figures> = days.iter().map(|day| &day.figures).collect();
        let policy = figures.first().map_or("", |figures| figures.policy.as_str());
        Self { policy, days: f64::from(u32::try_from(days.len()).unwrap_or(u32::MAX)), figures }
    }

    fn mean(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        self.figures.iter().map(|figures| of(figures)).sum::<f64>() / self.days.max(1.0)
    }

    fn cells(&self) -> [String; 12] {
        let over = |ratio: fn(&Figures) -> f64, least: fn(&Figures) -> f64| match self.figures[..] {
            [only] => format!("{:.4}", ratio(only)),
            _ if self.mean(least) > 0.0 => {
                format!("{:.4}", self.mean(|day| day.energy_kwh) / self.mean(least))
            }
            _ => "-".to_owned(),
        };
        // Whole for one day; an average of several has a decimal.
        let count = |of: fn(&Figures) -> u64| {
            #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
            let mean = self.mean(|day| of(day) as f64);
            if self.figures.len() > 1 { format!("{mean:.1}") } else { format!("{mean:.0}") }
        };
        let least = self.figures.iter().map(|day| day.hosts_on_min).min().unwrap_or(0);
        [
            safe(self.policy).into_owned(),
            kwh(self.mean(|day| day.energy_kwh)),
            over(|day| day.over_floor, |day| day.floor_kwh),
            over(|day| day.over_bound, |day| day.bound_kwh),
            format!("{:.1}", self.mean(|day| day.hosts_on_mean)),
            least.to_string(),
            count(|day| day.migrations),
            count(|day| day.wakes),
            format!("{:.4}", self.mean(|day| day.unserved_share) * 100.0),
            format!("{:.3}", self.mean(|day| day.slatah) * 100.0),
            format!("{:.4}", self.mean(|day| day.pdm) * 100.0),
            format!("{:.1}", self.mean(|day| day.waiting_vm_min)),
        ]
    }
}

/// A decimal for a cluster, three for a few hosts.
fn kwh(energy: f64) -> String {
    if energy < 10.0 { format!("{energy:.3}") } else { format!("{energy:.1}") }
}

fn rows<'a>(sums: impl Iterator<Item = Sum<'a>>) -> String {
    let mut table = Table::new(&HEAD);
    sums.for_each(|sum| table.row(sum.cells()));
    table.to_string()
}

/// The reserves of our own policies, and whatever else is not as usual: no figure without them.
fn knobs(days: &[Day]) -> String {
    let mut out = String::new();
    for figures in days.iter().map(|day| &day.figures) {
        let Some(name) = PolicyName::ALL.into_iter().find(|name| name.as_str() == figures.policy) else {
            let told: Vec<String> =
                figures.knobs.iter().map(|(knob, value)| format!("{knob}={value}")).collect();
            if !told.is_empty() {
                _ = writeln!(out, "  {}: {}", safe(&figures.policy), safe(&told.join(" ")));
            }
            continue;
        };
        let told: Vec<String> = Policy::named(name)
            .knobs
            .entries()
            .filter_map(|(knob, usual)| {
                let value = figures.knobs.get(knob)?;
                let reserve = matches!(knob, "spare.min" | "spare.target" | "failover");
                (reserve || *value != usual).then(|| format!("{knob}={value}"))
            })
            .collect();
        _ = writeln!(out, "  {}: {}", figures.policy, safe(&told.join(" ")));
    }
    if out.is_empty() { out } else { format!("\nknobs (all others as usual)\n{out}") }
}
