//! One day in small pictures: for each measure a panel for each policy, all on one scale.
//!
//! Lines are SVG that stretches with its panel; words and numbers are HTML on top, so that they stay readable on a phone
//! and on paper. What is told apart is told by form (solid, dashed, filled), never by colour alone.

use super::{Replay, count, number, percent, text};
use dormouse_sim::replay::{Day, Row, Series};
use std::fmt::Write as _;

/// The drawing's own units; 288 steps of a day fall on whole ones.
const WIDTH: u32 = 2016;
const HEIGHT: f64 = 1000.0;

type Value = fn(&Row) -> f64;

/// Something that is drawn.
struct Measure {
    title: &'static str,
    value: fn(&Row, f64) -> f64,
    /// A second line, with its name.
    beside: Option<(&'static str, Value)>,
    /// What to call the first line where there are two; where there is one, the panel's head says it.
    name: &'static str,
    /// Every step adds to those before it.
    adds_up: bool,
    filled: bool,
    /// Large values in thousands, and what they are then.
    units: [&'static str; 2],
    caption: fn(&Day) -> String,
    /// When there is nothing to draw.
    nothing: &'static str,
}

const MEASURES: [Measure; 5] = [
    Measure {
        title: "Hosts on",
        value: |row, _| row.hosts_on,
        beside: None,
        name: "",
        adds_up: false,
        filled: false,
        units: ["", "thousand"],
        caption: |day| {
            format!(
                "{} on average, {} at least",
                number(day.figures.hosts_on_mean, 1),
                day.figures.hosts_on_min
            )
        },
        nothing: "No host was on.",
    },
    Measure {
        title: "Watts",
        value: |row, _| row.watts,
        beside: Some(("bound", |row| row.bound_watts)),
        name: "",
        adds_up: false,
        filled: false,
        units: ["W", "kW"],
        caption: |day| {
            format!(
                "{} kWh, {} × bound",
                number(day.figures.energy_kwh, 1),
                number(day.figures.over_bound, 3)
            )
        },
        nothing: "No power was drawn.",
    },
    Measure {
        title: "Demand against capacity",
        value: |row, _| row.demand,
        beside: Some(("capacity", |row| row.capacity)),
        name: "demand",
        adds_up: false,
        filled: true,
        units: ["MIPS", "thousand MIPS"],
        caption: |day| format!("{} asked for", percent(asked(&day.series), 1)),
        nothing: "Nothing was asked for.",
    },
    Measure {
        title: "Moves so far",
        value: |row, _| f64::from(row.moves),
        beside: None,
        name: "",
        adds_up: true,
        filled: false,
        units: ["", "thousand"],
        caption: |day| match day.figures.migrations {
            1 => "1 move".to_owned(),
            moves => format!("{} moves", count(moves)),
        },
        nothing: "Nothing was moved under any policy.",
    },
    Measure {
        title: "Unserved",
        value: |row, seconds| row.unserved / seconds,
        beside: None,
        name: "",
        adds_up: false,
        filled: true,
        units: ["MIPS", "thousand MIPS"],
        caption: |day| format!("{} of the demand", percent(day.figures.unserved_share, 4)),
        nothing: "Nothing was left unserved under any policy.",
    },
];

/// Mean demand over mean capacity.
fn asked(series: &Series) -> f64 {
    let sum = |value: Value| series.rows.iter().map(value).sum::<f64>();
    sum(|row| row.demand) / sum(|row| row.capacity)
}

/// The day of a trace; `at` is its place, which makes the names of its lines unique.
pub(super) fn day(out: &mut String, replay: &Replay<'_>, at: usize, trace: &str) {
    let days: Vec<(usize, &Day)> = replay
        .policies
        .iter()
        .enumerate()
        .filter_map(|(place, policy)| Some((place, replay.day(trace, policy)?)))
        .filter(|(_, day)| !day.series.rows.is_empty())
        .collect();
    if days.is_empty() {
        return;
    }
    _ = writeln!(out, "<section class=\"day\">\n<h2>{}</h2>", text(trace));
    for (which, measure) in MEASURES.iter().enumerate() {
        let lines: Vec<Panel> = days.iter().map(|(place, day)| Panel::of(measure, *place, day)).collect();
        let most = lines
            .iter()
            .flat_map(|panel| panel.line.iter().chain(&panel.beside))
            .copied()
            .fold(0.0, f64::max);
        _ = writeln!(out, "<section class=\"measure\">");
        if most > 0.0 {
            let scale = Scale::up_to(most, measure);
            let unit =
                if scale.unit.is_empty() { String::new() } else { format!(" <small>{}</small>", scale.unit) };
            _ = writeln!(
                out,
                "<h3>{}{unit}</h3>\n<div class=\"panels\" style=\"--columns:{}\">",
                measure.title,
                columns(lines.len())
            );
            let id = format!("d{at}m{which}");
            for panel in &lines {
                panel.draw(out, measure, &scale, &id, &lines);
            }
            *out += "</div>\n";
        } else {
            _ = writeln!(out, "<h3>{}</h3>\n<p class=\"quiet\">{}</p>", measure.title, measure.nothing);
        }
        *out += "</section>\n";
    }
    *out += "</section>\n";
}

/// On a wide screen one row, or two of the same length.
fn columns(panels: usize) -> usize {
    if panels > 5 { panels.div_ceil(2) } else { panels.max(3) }
}

/// From 0 to a round number.
struct Scale {
    most: f64,
    unit: &'static str,
    /// What stands at the top.
    label: String,
}

impl Scale {
    fn up_to(most: f64, measure: &Measure) -> Self {
        let power = 10_f64.powf(most.log10().floor());
        let round = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
        // A rounding error above the top is no reason for the next round number.
        let most =
            round.map(|step| step * power).into_iter().find(|top| most <= top * 1.0001).unwrap_or(most);
        let (unit, shown) =
            if most >= 10_000.0 { (measure.units[1], most / 1000.0) } else { (measure.units[0], most) };
        let digits = usize::from(shown.fract() != 0.0) * if shown < 1.0 { 3 } else { 1 };
        Self { most, unit, label: number(shown, digits) }
    }

    /// In the drawing's units, from the top.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    fn y(&self, value: f64) -> u32 {
        (HEIGHT - (value / self.most).clamp(0.0, 1.0) * HEIGHT).round() as u32
    }
}

/// One policy's values of one measure.
struct Panel<'a> {
    place: usize,
    day: &'a Day,
    line: Vec<f64>,
    beside: Vec<f64>,
}

impl<'a> Panel<'a> {
    #[expect(clippy::cast_precision_loss, reason = "a step of minutes")]
    fn of(measure: &Measure, place: usize, day: &'a Day) -> Self {
        let finite = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
        let seconds = (day.series.step.0.max(1) as f64) / 1000.0;
        let mut sum = 0.0;
        let line = day.series.rows.iter().map(|row| {
            let value = finite((measure.value)(row, seconds));
            sum += value;
            if measure.adds_up { sum } else { value }
        });
        let line = line.collect();
        let beside =
            measure.beside.map(|(_, value)| day.series.rows.iter().map(|row| finite(value(row))).collect());
        Self { place, day, line, beside: beside.unwrap_or_default() }
    }

    fn draw(&self, out: &mut String, measure: &Measure, scale: &Scale, id: &str, all: &[Self]) {
        let policy = text(&self.day.figures.policy);
        let caption = (measure.caption)(self.day);
        let (own, wide) = (self.place, WIDTH);
        _ = writeln!(out, "<figure>\n<figcaption><b>{policy}</b> {caption}</figcaption>");
        _ = writeln!(
            out,
            "<div class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{}, {policy}: {caption}\">",
            measure.title
        );
        let hours = hours(&self.day.series);
        let quarters: String = (1..4).map(|quarter| format!("M{} 0v{HEIGHT}", WIDTH / 4 * quarter)).collect();
        _ = writeln!(out, "<path class=\"grid\" d=\"M0 0h{wide}M0 500h{wide}{quarters}\"/>");
        let line = steps(&self.line, scale);
        _ = writeln!(
            out,
            "<defs><path id=\"{id}p{own}\" vector-effect=\"non-scaling-stroke\" d=\"{line}\"/></defs>"
        );
        if measure.filled {
            _ = writeln!(out, "<path class=\"area\" d=\"{line}V{HEIGHT}H0Z\"/>");
        } else {
            for other in all.iter().filter(|other| other.place != own) {
                _ = writeln!(out, "<use class=\"other\" href=\"#{id}p{}\"/>", other.place);
            }
        }
        if !self.beside.is_empty() {
            let line = steps(&self.beside, scale);
            _ = writeln!(out, "<path class=\"beside\" vector-effect=\"non-scaling-stroke\" d=\"{line}\"/>");
        }
        _ = writeln!(out, "<use class=\"line\" href=\"#{id}p{own}\"/></svg>");
        _ = writeln!(out, "<span class=\"top\">{}</span><span class=\"zero\">0</span>", scale.label);
        self.names(out, measure, scale);
        let [a, b, c] = [1, 2, 3].map(|quarter| number(hours * f64::from(quarter) / 4.0, 0));
        let end = number(hours, 0);
        _ = writeln!(
            out,
            "</div>\n<div class=\"hours\"><span>0 h</span><span>{a}</span><span>{b}</span><span>{c}</span><span>{end} h</span></div>\n</figure>"
        );
    }

    /// Where there are two lines, each has its name beside it, on the side where the other one is not.
    fn names(&self, out: &mut String, measure: &Measure, scale: &Scale) {
        let Some((beside, _)) = measure.beside else { return };
        let start = |line: &[f64]| {
            let near = line.len().div_ceil(3);
            let ys = line[..near].iter().map(|value| f64::from(scale.y(*value)) / HEIGHT * 100.0);
            ys.fold((100.0_f64, 0.0_f64), |(high, low), y| (high.min(y), low.max(y)))
        };
        let (of_line, of_beside) = (start(&self.line), start(&self.beside));
        let under = of_beside.1 >= of_line.1;
        let mut name = |words: &str, (high, low): (f64, f64), below: bool| {
            let place = if below { format!("top:{low:.0}%") } else { format!("bottom:{:.0}%", 100.0 - high) };
            _ = writeln!(out, "<span class=\"name\" style=\"{place}\">{words}</span>");
        };
        // Little room above the upper line, or below the lower one: inside then.
        let upper_inside = |(high, _): (f64, f64)| high < 16.0;
        let lower_inside = |(_, low): (f64, f64)| low > 84.0;
        if under {
            name(beside, of_beside, !lower_inside(of_beside));
            if !measure.name.is_empty() {
                name(measure.name, of_line, upper_inside(of_line));
            }
        } else {
            name(beside, of_beside, upper_inside(of_beside));
            if !measure.name.is_empty() {
                name(measure.name, of_line, !lower_inside(of_line) && of_line.0 - of_beside.1 < 40.0);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "days in steps of minutes")]
fn hours(series: &Series) -> f64 {
    series.step.0 as f64 * series.rows.len() as f64 / 3_600_000.0
}

/// Each value holds for its step; steps without a change cost nothing.
fn steps(values: &[f64], scale: &Scale) -> String {
    let x = |step: usize| (step as u64 * u64::from(WIDTH) + values.len() as u64 / 2) / values.len() as u64;
    let mut path = String::new();
    let mut last = None;
    for (step, value) in values.iter().enumerate() {
        let y = scale.y(*value);
        match last {
            None => _ = write!(path, "M0 {y}"),
            Some(before) if before != y => _ = write!(path, "H{}V{y}", x(step)),
            Some(_) => {}
        }
        last = Some(y);
    }
    path + &format!("H{WIDTH}")
}
