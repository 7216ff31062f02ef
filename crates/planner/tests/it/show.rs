//! Text in, text out: a cluster text becomes a picture, a plan becomes lines.

use dormouse_model::{Action, Goal, Millis, Plan, PlanId, Report, Snapshot, Subject};
use expect_test::Expect;
use std::fmt::Write as _;
use std::sync::Arc;

pub(crate) const NIGHT: Goal = Goal::Compact { horizon: Millis::from_secs(8 * 3600) };

/// The lab of the seed, with a policy line.
pub(crate) fn seeds_lab(policy: &str) -> String {
    format!(
        "cluster ercolani\n\
         host lab[01-62] cpus=2 mem=2048M watts=45/95/3 boot=75s link=1000M\n\
         vm pc[01-62]@lab[01-62] vcpus=1 mem=256M cpu=0.02 home=lab[01-62]\n\
         policy {policy}\n"
    )
}

pub(crate) fn picture(text: &str) -> Snapshot {
    let cluster = dormouse_model::text::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Snapshot::of(&Arc::new(cluster))
}

/// Plans, lets the checker look, and returns both.
pub(crate) fn plan(snapshot: &Snapshot, goal: Goal) -> (Plan, Report) {
    let (plan, report) = dormouse_planner::plan(snapshot, goal, PlanId(1));
    let violations = dormouse_planner::check(snapshot, &plan);
    assert!(violations.is_empty(), "{}\n{}", violations[0], show(snapshot, &plan, &report));
    (plan, report)
}

pub(crate) fn check_plan(text: &str, expect: Expect) {
    check_goal(text, NIGHT, expect);
}

pub(crate) fn check_goal(text: &str, goal: Goal, expect: Expect) {
    check_picture(&picture(text), goal, expect);
}

pub(crate) fn check_picture(snapshot: &Snapshot, goal: Goal, expect: Expect) {
    let (plan, report) = plan(snapshot, goal);
    expect.assert_eq(&show(snapshot, &plan, &report));
}

pub(crate) fn show(snapshot: &Snapshot, plan: &Plan, report: &Report) -> String {
    let host = |id: dormouse_model::HostId| snapshot.host(id).spec.name.as_str();
    let vm = |id: dormouse_model::VmId| snapshot.vm(id).spec.name.as_str();
    let mut out = String::new();
    write!(out, "{} -> {} on (bound {})", report.hosts_on_before, report.hosts_on_after, report.lower_bound)
        .unwrap();
    writeln!(out, ", {} -> {}, {} moves", report.watts_before, report.watts_after, plan.migrations())
        .unwrap();
    for step in &plan.steps {
        let what = match step.action {
            Action::Migrate { vm: id, from, to } => format!("{}: {} -> {}", vm(id), host(from), host(to)),
            Action::Wake { host: id } => format!("wake {}", host(id)),
            Action::Sleep { host: id } => format!("sleep {}", host(id)),
            Action::Start { vm: id, host: at } => format!("start {} on {}", vm(id), host(at)),
            Action::Fence { host: at } => format!("fence {}", host(at)),
            Action::Stop { vm: id, host: at } => format!("stop {} on {}", vm(id), host(at)),
        };
        let needs = step.needs.iter().map(|need| format!(" after {need}")).collect::<String>();
        writeln!(out, "{} {what}{needs} ({})", step.id, step.because.words(snapshot)).unwrap();
    }
    for (id, reason) in &report.awake {
        writeln!(out, "{} awake: {}", host(*id), reason.words(snapshot)).unwrap();
    }
    for refusal in &report.refusals {
        let subject = match refusal.subject {
            Subject::Host(id) => host(id),
            Subject::Vm(id) => vm(id),
        };
        writeln!(out, "{subject} left: {}", refusal.reason).unwrap();
    }
    out
}
