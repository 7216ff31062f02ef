//! A plan over time: a bar for each host, or for all hosts whose bars are the same, and how near the moves are to what
//! no order beats. An estimate in the shortest times: the executor sets its own pace.

use super::Planned;
use crate::cli::{Table, counted, fold, safe};
use dormouse_model::{Action, HostId, Millis};
use dormouse_planner::Pace;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Cells of a bar. With names and figures beside it a line stays within 80.
const CELLS: usize = 36;
const NAMES_MAX: usize = 20;
/// Lines for hosts that take VMs, and again for those that only give, before the rest is folded.
const LINES_MAX: usize = 12;

/// What a host does in a part of the time. The later, the more it hides what else falls into one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    GoesOff,
    Wakes,
    Gives,
    Takes,
    Both,
}

impl Doing {
    const ALL: [Self; 5] = [Self::Wakes, Self::Takes, Self::Gives, Self::Both, Self::GoesOff];

    const fn mark(self) -> char {
        match self {
            Self::GoesOff => 'z',
            Self::Wakes => '^',
            Self::Gives => '>',
            Self::Takes => '<',
            Self::Both => 'x',
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::GoesOff => "goes off",
            Self::Wakes => "wakes",
            Self::Gives => "gives VMs",
            Self::Takes => "takes VMs",
            Self::Both => "both",
        }
    }
}

/// A host's part in the plan.
#[derive(Default)]
struct Part {
    spans: Vec<(Doing, Millis, Millis)>,
    takes: usize,
    gives: usize,
    until: Millis,
}

/// Hosts that look alike.
struct Line {
    hosts: Vec<HostId>,
    bar: String,
    takes: usize,
    gives: usize,
    until: Millis,
}

/// The bars and the closing line.
pub(super) fn draw(planned: &Planned, all: bool) -> String {
    let pace = dormouse_planner::pace(&planned.snapshot, &planned.plan);
    let end = pace.spans.iter().map(|(_, end)| *end).max().unwrap_or_default();
    let mut out = String::new();
    if end > Millis::ZERO {
        let lines = lines(&parts(planned, &pace), end);
        bars(&mut out, planned, &lines, end, all);
        legend(&mut out, &lines);
    }
    closing(&mut out, planned, &pace, end);
    out
}

fn parts(planned: &Planned, pace: &Pace) -> BTreeMap<HostId, Part> {
    let mut parts: BTreeMap<HostId, Part> = BTreeMap::new();
    for (step, (start, end)) in planned.plan.steps.iter().zip(&pace.spans) {
        let mut enter = |host: HostId, doing: Doing| {
            let part = parts.entry(host).or_default();
            part.spans.push((doing, *start, *end));
            part.takes += usize::from(doing == Doing::Takes);
            part.gives += usize::from(doing == Doing::Gives);
            part.until = part.until.max(*end);
        };
        match step.action {
            Action::Migrate { from, to, .. } => {
                enter(from, Doing::Gives);
                enter(to, Doing::Takes);
            }
            Action::Wake { host } => enter(host, Doing::Wakes),
            Action::Sleep { host } => enter(host, Doing::GoesOff),
            Action::Start { .. } | Action::Stop { .. } | Action::Fence { .. } => {}
        }
    }
    parts
}

/// One line for all hosts with the same bar and figures: those that take first, and whoever is busy longest first.
fn lines(parts: &BTreeMap<HostId, Part>, end: Millis) -> Vec<Line> {
    let mut alike: BTreeMap<(String, usize, usize), Line> = BTreeMap::new();
    for (host, part) in parts {
        let bar = bar(&part.spans, end);
        let line = alike.entry((bar.clone(), part.takes, part.gives)).or_insert_with(|| Line {
            hosts: vec![],
            bar,
            takes: part.takes,
            gives: part.gives,
            until: Millis::ZERO,
        });
        line.hosts.push(*host);
        line.until = line.until.max(part.until);
    }
    let mut lines: Vec<Line> = alike.into_values().collect();
    lines.sort_by_key(|line| (line.takes == 0, std::cmp::Reverse(line.until), line.hosts.first().copied()));
    lines
}

/// What a host does in each of the equal parts of the time.
fn bar(spans: &[(Doing, Millis, Millis)], end: Millis) -> String {
    let width = end.0.div_ceil(CELLS as u64).max(1);
    let cell = |cell: u64| {
        let (from, to) = (cell * width, (cell + 1) * width);
        // What only touches the cell with its last moment is drawn where it was before.
        let in_it = |(_, start, stop): &&(Doing, Millis, Millis)| {
            let overlap = stop.0.min(to).saturating_sub(start.0.max(from));
            overlap * 8 >= width || (from <= start.0 && start.0 < to)
        };
        let mut doing: Vec<Doing> = spans.iter().filter(in_it).map(|(doing, ..)| *doing).collect();
        doing.sort_unstable();
        let both = doing.contains(&Doing::Gives) && doing.contains(&Doing::Takes);
        if both { Doing::Both.mark() } else { doing.last().map_or(' ', |doing| doing.mark()) }
    };
    (0..CELLS as u64).map(cell).collect::<String>().trim_end().to_owned()
}

fn bars(out: &mut String, planned: &Planned, lines: &[Line], end: Millis, all: bool) {
    let ruler = ruler(end);
    let mut table = Table::new(&["hosts", ruler.trim_end(), "in ", "out ", "until "]);
    let count = |count: usize| if count == 0 { String::new() } else { count.to_string() };
    let mut row = |line: &Line| {
        table.row([
            names(planned, &line.hosts),
            format!("{:CELLS$}", line.bar),
            count(line.takes),
            count(line.gives),
            line.until.to_string(),
        ]);
    };
    let max = if all { usize::MAX } else { LINES_MAX };
    let mut left = 0;
    for takes in [true, false] {
        let these = || lines.iter().filter(|line| (line.takes > 0) == takes);
        these().take(max).for_each(&mut row);
        left += these().skip(max).map(|line| line.hosts.len()).sum::<usize>();
    }
    _ = write!(out, "{table}");
    if left > 0 {
        _ = writeln!(out, "  … and {} more, sooner done (--all shows them)", counted(left, "host"));
    }
}

/// Times above the bars, at each third.
fn ruler(end: Millis) -> String {
    let third = CELLS / 3;
    let mut ruler = String::new();
    for part in 0..3 {
        let time = Millis(end.0 * part / 3);
        let label = if part == 0 { "0s".to_owned() } else { time.to_string() };
        _ = write!(ruler, "{label:third$}");
    }
    ruler
}

/// Names of hosts, runs folded, no longer than their column.
fn names(planned: &Planned, hosts: &[HostId]) -> String {
    let full = fold(hosts.iter().map(|host| planned.snapshot.host(*host).spec.name.as_str()));
    if full.chars().count() <= NAMES_MAX {
        return full;
    }
    let count = format!(" … ({})", hosts.len());
    let room = NAMES_MAX.saturating_sub(count.chars().count());
    let cut: String = full.chars().take(room).collect();
    match (hosts, cut.rfind(',')) {
        ([one], _) => {
            let name: String =
                safe(&planned.snapshot.host(*one).spec.name).chars().take(NAMES_MAX - 1).collect();
            format!("{name}…")
        }
        (_, Some(comma)) => format!("{}{count}", &cut[..=comma]),
        (_, None) => format!("{cut}{count}"),
    }
}

fn legend(out: &mut String, lines: &[Line]) {
    let used = |doing: &Doing| lines.iter().any(|line| line.bar.contains(doing.mark()));
    let words: Vec<String> = Doing::ALL
        .into_iter()
        .filter(used)
        .map(|doing| format!("{} {}", doing.mark(), doing.words()))
        .collect();
    _ = writeln!(out, "  {}", words.join("   "));
}

fn closing(out: &mut String, planned: &Planned, pace: &Pace, end: Millis) {
    let moves = planned.plan.migrations();
    if moves == 0 {
        _ = writeln!(out, "  all done after {end}");
        return;
    }
    let (time, bound) = (pace.moves_time, pace.moves_bound);
    _ = write!(out, "  {}, {time}; no order can be faster than {bound}", counted(moves, "move"));
    _ = writeln!(out, "{}", if end > time { format!("; all done after {end}") } else { String::new() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(spans: &[(Doing, u64, u64)], end: u64) -> String {
        let spans: Vec<_> =
            spans.iter().map(|(doing, from, to)| (*doing, Millis(*from), Millis(*to))).collect();
        bar(&spans, Millis(end))
    }

    #[test]
    fn a_bar_shows_what_a_host_does_when() {
        use Doing::{Gives, GoesOff, Takes, Wakes};
        assert_eq!(drawn(&[(Wakes, 0, 1800), (Takes, 1800, 2700)], 3600), "^".repeat(18) + &"<".repeat(9));
        assert_eq!(drawn(&[(Gives, 0, 100), (GoesOff, 100, 400)], 3600), ">zzz");
        assert_eq!(drawn(&[(Gives, 0, 200), (Takes, 100, 300)], 3600), ">x<");
        assert_eq!(drawn(&[(Gives, 900, 901)], 3600), format!("{}>", " ".repeat(9)), "however short");
        assert_eq!(drawn(&[(Takes, 0, 105)], 3600), "<", "a last moment draws no cell of its own");
    }
}
