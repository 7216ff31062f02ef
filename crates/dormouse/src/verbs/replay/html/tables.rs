//! The tables of the page: all days together, energy day by day, knobs.

use super::{Replay, count, number, percent, text};
use dormouse_sim::replay::Day;
use std::fmt::Write as _;

/// One policy over all of its days.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) energy_kwh: f64,
    pub(super) bound_kwh: f64,
    pub(super) floor_kwh: f64,
    pub(super) migrations: u64,
    pub(super) violations: usize,
    days: f64,
    /// Means are weighted by the length of their day.
    hosts_on: f64,
    hosts_on_min: u32,
    moves_vm_day: f64,
    wakes: u64,
    sleeps: u64,
    pub(super) unserved: f64,
    slatah: f64,
    pdm: f64,
    slav: f64,
    thrash: u64,
    waiting_vm_min: f64,
    waiting: f64,
}

impl Total {
    pub(super) fn of<'a>(days: impl Iterator<Item = &'a Day>) -> Self {
        let mut total = Self { hosts_on_min: u32::MAX, ..Self::default() };
        for Day { figures: day, .. } in days {
            total.days += day.days;
            total.energy_kwh += day.energy_kwh;
            total.bound_kwh += day.bound_kwh;
            total.floor_kwh += day.floor_kwh;
            total.hosts_on += day.hosts_on_mean * day.days;
            total.hosts_on_min = total.hosts_on_min.min(day.hosts_on_min);
            total.migrations += day.migrations;
            total.moves_vm_day += day.moves_vm_day * day.days;
            total.wakes += day.wakes;
            total.sleeps += day.sleeps;
            total.unserved += day.unserved_share * day.days;
            total.slatah += day.slatah * day.days;
            total.pdm += day.pdm * day.days;
            total.slav += day.slav * day.days;
            total.thrash += day.thrash;
            total.waiting_vm_min += day.waiting_vm_min;
            total.waiting += day.waiting_share * day.days;
            total.violations += day.violations.len();
        }
        for mean in [
            &mut total.hosts_on,
            &mut total.moves_vm_day,
            &mut total.unserved,
            &mut total.slatah,
            &mut total.pdm,
            &mut total.slav,
            &mut total.waiting,
        ] {
            *mean /= total.days;
        }
        total
    }
}

/// A column: its head in two lines, and what it shows.
type Column = (&'static str, fn(&Total) -> String);

const COLUMNS: [Column; 14] = [
    ("×\u{a0}bound", |t| number(t.energy_kwh / t.bound_kwh, 4)),
    ("×\u{a0}floor", |t| number(t.energy_kwh / t.floor_kwh, 4)),
    ("hosts on, mean", |t| number(t.hosts_on, 1)),
    ("least", |t| count(t.hosts_on_min.into())),
    ("moves", |t| count(t.migrations)),
    ("per VM and day", |t| number(t.moves_vm_day, 3)),
    ("back and forth", |t| count(t.thrash)),
    ("wakes", |t| count(t.wakes)),
    ("sleeps", |t| count(t.sleeps)),
    ("unserved", |t| percent(t.unserved, 4)),
    ("SLATAH", |t| percent(t.slatah, 3)),
    ("PDM", |t| percent(t.pdm, 4)),
    ("SLAV, 10⁻⁵", |t| number(t.slav * 1e5, 3)),
    ("rules broken", |t| count(t.violations as u64)),
];
/// Only where VMs come and go.
const WAITING: [Column; 2] =
    [("VM-minutes waited", |t| number(t.waiting_vm_min, 0)), ("of all", |t| percent(t.waiting, 3))];

pub(super) fn summary(out: &mut String, replay: &Replay<'_>) {
    let totals: Vec<(&str, Total)> =
        replay.policies.iter().map(|policy| (*policy, Total::of(replay.of_policy(policy)))).collect();
    let most = totals.iter().map(|(_, total)| total.energy_kwh).fold(0.0, f64::max);
    let waits = totals.iter().any(|(_, total)| total.waiting_vm_min > 0.0);
    let columns: Vec<&Column> = COLUMNS.iter().chain(if waits { &WAITING[..] } else { &[] }).collect();
    *out += "<h2>All policies</h2>\n<div class=\"wide\"><table class=\"summary\">\n<thead><tr><th scope=\"col\">policy</th><th scope=\"col\">energy, kWh</th>";
    for (head, _) in &columns {
        _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    *out += "</tr></thead>\n<tbody>\n";
    for (policy, total) in &totals {
        let width = bar(total.energy_kwh, most);
        _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"bar\"><b>{}</b><span style=\"width:{width}%\"></span></td>",
            text(policy),
            number(total.energy_kwh, 1)
        );
        for (_, show) in &columns {
            _ = write!(out, "<td>{}</td>", show(total));
        }
        *out += "</tr>\n";
    }
    if let Some((_, total)) = totals.first() {
        let rest = columns.len() - 2;
        _ = writeln!(
            out,
            "<tr class=\"limit\"><th scope=\"row\">bound</th><td class=\"bar\">{}<span style=\"width:{}%\"></span></td>\
             <td>1.0000</td><td>{}</td><td colspan=\"{rest}\" class=\"words\">whole VMs on as few watts as can hold them, \
             with perfect knowledge</td></tr>",
            number(total.bound_kwh, 1),
            bar(total.bound_kwh, most),
            number(total.bound_kwh / total.floor_kwh, 4),
        );
    }
    *out += "</tbody>\n</table></div>\n";
    *out += "<p class=\"quiet\">SLATAH: share of the time hosts were on in which they were asked for more than they \
             have. PDM: share of the demand that moves cost. SLAV is their product, for comparison with the \
             literature. Back and forth: from A to B to A within an hour.</p>\n";
}

/// Percent of the widest.
fn bar(value: f64, most: f64) -> String {
    let width = value / most * 100.0;
    if width.is_finite() { format!("{width:.1}") } else { "0".to_owned() }
}

pub(super) fn by_day(out: &mut String, replay: &Replay<'_>) {
    if replay.traces.len() < 2 {
        return;
    }
    *out += "<h2>Day by day: energy in kWh, and over the bound</h2>\n<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">day</th>";
    for policy in &replay.policies {
        _ = write!(out, "<th scope=\"col\">{}</th>", text(policy));
    }
    *out += "<th scope=\"col\">bound</th></tr></thead>\n<tbody>\n";
    for trace in &replay.traces {
        _ = write!(out, "<tr><th scope=\"row\">{}</th>", text(trace));
        let mut bound = None;
        for policy in &replay.policies {
            match replay.day(trace, policy) {
                None => *out += "<td>–</td>",
                Some(Day { figures, .. }) => {
                    bound = Some(figures.bound_kwh);
                    let (energy, over) = (number(figures.energy_kwh, 1), number(figures.over_bound, 3));
                    _ = write!(out, "<td>{energy} <small>× {over}</small></td>");
                }
            }
        }
        _ = writeln!(out, "<td>{}</td></tr>", bound.map_or("–".to_owned(), |bound| number(bound, 1)));
    }
    *out += "</tbody>\n</table></div>\n";
}

pub(super) fn knobs(out: &mut String, replay: &Replay<'_>) {
    *out += "<h2>Knobs</h2>\n<dl class=\"knobs\">\n";
    for policy in &replay.policies {
        let knobs = replay.of_policy(policy).next().map(|day| &day.figures.knobs);
        let shown: Vec<String> = knobs
            .into_iter()
            .flatten()
            .map(|(knob, value)| format!("<code>{}={}</code>", text(knob), text(value)))
            .collect();
        let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(" ") };
        _ = writeln!(out, "<dt>{}</dt><dd>{shown}</dd>", text(policy));
    }
    *out += "</dl>\n";
}
