//! A plan for people: what it buys first, then what would be done, then why not more.

use super::{Planned, timeline};
use crate::cli::{Table, counted, fold, safe, style};
use crate::verbs::picture::{self, Tile};
use dormouse_model::{Action, Because, Buys, Goal, HostId, Millis, Snapshot, Subject, Watts};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Rows of one list before it is folded.
const ROWS_MAX: usize = 20;
/// Hosts that are still drawn.
const DRAWN_MAX: usize = 128;

pub(super) fn render(planned: &Planned, all: bool) -> String {
    let mut out = String::new();
    if let Some(as_of) = &planned.as_of {
        _ = writeln!(out, "{}\n", as_of.words);
    }
    head(&mut out, planned);
    if planned.plan.steps.is_empty() {
        out += "\nNothing to do.\n";
    } else if all {
        every_step(&mut out, planned);
    } else {
        grouped_steps(&mut out, planned);
    }
    if !planned.plan.steps.is_empty() {
        pace(&mut out, planned, all);
    }
    after(&mut out, planned);
    awake(&mut out, planned, all);
    refusals(&mut out, planned, all);
    out
}

fn head(out: &mut String, planned: &Planned) {
    let Planned { snapshot, plan, report, .. } = planned;
    let strong = style::STRONG;
    let word = |exact: bool| if exact { " (exact)" } else { "" };
    let compact = matches!(plan.goal, Goal::Compact { .. });
    let bound = match report.hosts_on_after.saturating_sub(report.lower_bound) {
        _ if !compact => String::new(),
        0 => format!("; lower bound {}, no placement needs fewer", report.lower_bound),
        gap => format!("; lower bound {}{}, gap {gap}", report.lower_bound, word(planned.exact.hosts)),
    };
    let (before, after) = (report.watts_before, report.watts_after);
    let change = match (before.0.checked_sub(after.0), before.0) {
        (Some(0), _) => String::new(),
        (Some(less), 1..) => format!(", {less} W less ({} %)", less * 100 / before.0),
        _ => format!(", {} W more", after.0.saturating_sub(before.0)),
    };
    _ = writeln!(
        out,
        "{strong}{} on -> {} on{bound}{strong:#}\n{before} -> {after}{change}",
        counted(report.hosts_on_before as usize, "host"),
        counted(report.hosts_on_after as usize, "host"),
    );
    if compact && report.watts_standing > Watts(0) {
        let (stands, least) = (report.watts_standing, report.watts_bound);
        _ = match stands.saturating_sub(least) {
            Watts(0) => writeln!(out, "stands at {stands} before any VM does anything, no placement at less"),
            gap => writeln!(
                out,
                "stands at {stands} before any VM does anything; lower bound {least}{}, gap {gap}",
                word(planned.exact.watts)
            ),
        };
    }
    let count = |kind: &str| plan.steps.iter().filter(|step| step.action.kind() == kind).count();
    let kinds =
        [("migrate", "move"), ("wake", "wake"), ("sleep", "sleep"), ("start", "start"), ("stop", "stop")];
    let mut steps: Vec<String> = kinds
        .iter()
        .map(|(kind, word)| (count(kind), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| counted(count, word))
        .collect();
    if report.rounds > 0 {
        steps.push(counted(report.rounds as usize, "round"));
    }
    if steps.is_empty() {
        steps.push("no steps".to_owned());
    }
    _ = writeln!(
        out,
        "{}, policy {}, {}: {}",
        safe(&snapshot.cluster.name),
        plan.policy,
        plan.goal,
        steps.join(", ")
    );
    if let Some(deadline) = planned.cut_short {
        let deadline = Millis(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
        _ = writeln!(
            out,
            "the deadline of {deadline} ended the search: with more time the plan may be better"
        );
    }
}

fn section(out: &mut String, title: &str) {
    let strong = style::STRONG;
    _ = writeln!(out, "\n{strong}{title}{strong:#}");
}

/// A table's rows, cut to a readable length unless all are wanted.
fn rows(out: &mut String, head: &[&str], rows: Vec<Vec<String>>, all: bool) {
    let shown = if all || rows.len() <= ROWS_MAX { rows.len() } else { ROWS_MAX };
    let rest = rows.len() - shown;
    let mut table = Table::new(head);
    for row in rows.into_iter().take(shown) {
        table.row(row);
    }
    _ = write!(out, "{table}");
    if rest > 0 {
        _ = writeln!(out, "  … and {rest} more (--all shows them)");
    }
}

fn every_step(out: &mut String, planned: &Planned) {
    let snapshot = &planned.snapshot;
    section(out, "Steps, in an order that could be carried out one by one");
    let lines = planned.plan.steps.iter().map(|step| {
        let needs: Vec<String> = step.needs.iter().map(ToString::to_string).collect();
        vec![
            step.id.to_string(),
            action(snapshot, step.action),
            needs.join(" "),
            step.because.words(snapshot),
            step.buys(snapshot).map_or_else(String::new, |buys| buys.words(snapshot)),
        ]
    });
    rows(out, &["step", "what", "needs", "because", "buys"], lines.collect(), true);
}

/// One step in words; names are escaped.
pub(crate) fn action(snapshot: &Snapshot, action: Action) -> String {
    let host = |id: HostId| safe(&snapshot.host(id).spec.name);
    let kind = action.kind();
    match action {
        Action::Migrate { vm, from, to } => {
            format!("{kind} {} {} -> {}", safe(&snapshot.vm(vm).spec.name), host(from), host(to))
        }
        Action::Wake { host: id } | Action::Sleep { host: id } | Action::Fence { host: id } => {
            format!("{kind} {}", host(id))
        }
        Action::Start { vm, host: id } | Action::Stop { vm, host: id } => {
            format!("{kind} {} on {}", safe(&snapshot.vm(vm).spec.name), host(id))
        }
    }
}

/// The reason without what the row says anyway.
fn short(because: &Because, snapshot: &Snapshot) -> String {
    match because {
        Because::Empties { .. } => "empties the source".to_owned(),
        Because::Relieves { .. } => "relieves the source".to_owned(),
        Because::Drains { .. } => "drains the source".to_owned(),
        other => other.words(snapshot),
    }
}

/// Steps that share destination and reason are one row. Rows stand in the order of their first step.
fn grouped_steps(out: &mut String, planned: &Planned) {
    let snapshot = &planned.snapshot;
    for (kind, title) in
        [("wake", "Wakes"), ("start", "Starts"), ("migrate", "Moves"), ("stop", "Stops"), ("sleep", "Sleeps")]
    {
        let mut groups: Vec<Group> = vec![];
        for step in planned.plan.steps.iter().filter(|step| step.action.kind() == kind) {
            let because = short(&step.because, snapshot);
            let buys = step.buys(snapshot);
            let to = match step.action {
                // A round of policy `seed` is one thing: its pairs are of no interest one by one.
                Action::Migrate { .. } if matches!(step.because, Because::Round { .. }) => None,
                Action::Migrate { to: host, .. } | Action::Start { host, .. } | Action::Stop { host, .. } => {
                    Some(host)
                }
                Action::Wake { .. } | Action::Sleep { .. } | Action::Fence { .. } => None,
            };
            let group = match groups.iter_mut().find(|group| group.to == to && group.because == because) {
                Some(group) => group,
                None => {
                    groups.push(Group {
                        to,
                        because,
                        vms: vec![],
                        hosts: vec![],
                        targets: vec![],
                        buys: BTreeMap::new(),
                    });
                    groups.last_mut().expect("just pushed")
                }
            };
            group.add(step.action);
            group.buys.extend(buys.map(|buys| match buys {
                Buys::Watts { host, .. } | Buys::Relief { host, .. } => (host, buys),
            }));
        }
        if groups.is_empty() {
            continue;
        }
        section(out, title);
        let head: &[&str] = match kind {
            "migrate" => &["count ", "VMs", "from", "to", "because", "buys"],
            "sleep" => &["count ", "hosts", "because", "buys"],
            "start" | "stop" => &["count ", "VMs", "host", "because"],
            _ => &["count ", "hosts", "because"],
        };
        rows(out, head, groups.iter().map(|group| group.cells(kind, snapshot)).collect(), false);
    }
}

struct Group {
    to: Option<HostId>,
    because: String,
    vms: Vec<dormouse_model::VmId>,
    hosts: Vec<HostId>,
    targets: Vec<HostId>,
    /// By the host that is relieved or put to sleep, each once.
    buys: BTreeMap<HostId, Buys>,
}

impl Group {
    fn add(&mut self, action: Action) {
        self.vms.extend(action.vm());
        match action {
            Action::Migrate { from, to, .. } => {
                self.hosts.push(from);
                self.targets.push(to);
            }
            Action::Wake { host }
            | Action::Sleep { host }
            | Action::Fence { host }
            | Action::Start { host, .. }
            | Action::Stop { host, .. } => {
                self.hosts.push(host);
            }
        }
    }

    /// Watts of all hosts that go to sleep in the end; the load of a host that is relieved.
    fn bought(&self) -> String {
        let mut watts = Watts::ZERO;
        for buys in self.buys.values() {
            match buys {
                Buys::Watts { watts: saved, .. } => watts += *saved,
                Buys::Relief { load, limit, .. } => return format!("load {load} towards {limit}"),
            }
        }
        if watts == Watts::ZERO { String::new() } else { format!("{watts} less") }
    }

    fn cells(&self, kind: &str, snapshot: &Snapshot) -> Vec<String> {
        let vms =
            folded(self.vms.iter().map(|vm| (vm.index(), snapshot.vm(*vm).spec.name.as_str())).collect());
        let hosts = |hosts: &[HostId]| {
            folded(hosts.iter().map(|host| (host.index(), snapshot.host(*host).spec.name.as_str())).collect())
        };
        let because = self.because.clone();
        match kind {
            "migrate" => {
                let (from, to) = (hosts(&self.hosts), hosts(&self.targets));
                vec![self.vms.len().to_string(), vms, from, to, because, self.bought()]
            }
            "sleep" => vec![self.hosts.len().to_string(), hosts(&self.hosts), because, self.bought()],
            "start" | "stop" => vec![self.vms.len().to_string(), vms, hosts(&self.hosts), because],
            _ => vec![self.hosts.len().to_string(), hosts(&self.hosts), because],
        }
    }
}

/// Names in the order of the cluster text, each once, runs folded, no longer than a line bears.
fn folded(mut names: Vec<(usize, &str)>) -> String {
    const CHARS_MAX: usize = 48;
    names.sort_unstable();
    names.dedup();
    let count = names.len();
    let first = names.first().map_or_else(String::new, |(_, name)| picture::cut(&safe(name), CHARS_MAX));
    let full = fold(names.into_iter().map(|(_, name)| name));
    if full.chars().count() <= CHARS_MAX {
        return full;
    }
    let mut cut: String = full.chars().take(CHARS_MAX).collect();
    cut.truncate(cut.rfind(", ").unwrap_or(0));
    match count {
        1 => first,
        _ if cut.is_empty() => format!("{first}, … ({count})"),
        _ => format!("{cut}, … ({count})"),
    }
}

/// When everything would happen.
fn pace(out: &mut String, planned: &Planned, all: bool) {
    let at_once = match planned.snapshot.cluster.policy.knobs.moves_all {
        0 => "any number of moves".to_owned(),
        limit => counted(limit as usize, "move"),
    };
    section(out, &format!("Timeline (estimate: links at full rate, {at_once} at once)"));
    out.push_str(&timeline::draw(planned, all));
}

/// The hosts as they would be.
fn after(out: &mut String, planned: &Planned) {
    if planned.snapshot.hosts.len() > DRAWN_MAX {
        return;
    }
    // The checker has replayed the plan before; a plan that does not apply never gets here.
    let Ok(after) = planned.plan.apply(&planned.snapshot) else { return };
    section(out, if planned.plan.steps.is_empty() { "Hosts" } else { "Afterwards" });
    out.push_str(&picture::draw(&Tile::all(&after)));
}

fn awake(out: &mut String, planned: &Planned, all: bool) {
    let Planned { snapshot, report, .. } = planned;
    if report.awake.is_empty() {
        return;
    }
    section(out, "What keeps hosts awake");
    let mut groups: Vec<(String, Vec<(usize, &str)>)> = vec![];
    for (host, reason) in &report.awake {
        let words = reason.words(snapshot);
        let name = (host.index(), snapshot.host(*host).spec.name.as_str());
        match groups.iter_mut().find(|(known, _)| !all && *known == words) {
            Some((_, names)) => names.push(name),
            None => groups.push((words, vec![name])),
        }
    }
    let lines = groups.into_iter().map(|(words, names)| vec![names.len().to_string(), folded(names), words]);
    rows(out, &["count ", "hosts", "because"], lines.collect(), all);
}

fn refusals(out: &mut String, planned: &Planned, all: bool) {
    let Planned { snapshot, report, .. } = planned;
    if report.refusals.is_empty() {
        return;
    }
    section(out, "Left as they are");
    let mut groups: Vec<(String, Vec<(usize, &str)>)> = vec![];
    for refusal in &report.refusals {
        let words = refusal.reason.to_string();
        let name = match refusal.subject {
            Subject::Host(host) => (host.index(), snapshot.host(host).spec.name.as_str()),
            Subject::Vm(vm) => (vm.index(), snapshot.vm(vm).spec.name.as_str()),
        };
        match groups.iter_mut().find(|(known, _)| !all && *known == words) {
            Some((_, names)) => names.push(name),
            None => groups.push((words, vec![name])),
        }
    }
    let lines = groups.into_iter().map(|(words, names)| vec![names.len().to_string(), folded(names), words]);
    rows(out, &["count ", "who", "because"], lines.collect(), all);
}
