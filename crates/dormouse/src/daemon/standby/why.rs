//! `why` on a manager that stands by: from what the leader told, its plan among it. Plans nothing itself.

use crate::daemon::views;
use crate::daemon::wire::{Answer, HostView, View, VmView, WhyView};
use crate::verbs::why::{Answer as Why, Fact, Planning};
use serde_json::Value;

/// What the leader told about everything of that name.
pub(super) fn answer(view: &View, leader: &str, age_ms: u64, name: &str) -> Answer {
    let plan = view.plan.as_ref().map(|plan| &plan.plan);
    let told = Fact { what: "told", value: format!("{} s ago by {leader}", age_ms / 1000) };
    let hosts = view.hosts.iter().filter(|host| host.name == name).map(|host| of_host(host, plan));
    let vms = view.vms.iter().filter(|vm| vm.name == name || vm.uuid == name).map(|vm| of_vm(vm, plan));
    let mut all: Vec<Why> = hosts.chain(vms).collect();
    let Some(last) = all.last_mut() else {
        let known = view.hosts.iter().map(|host| host.name.as_str());
        return *views::unknown("host or VM", name, known.chain(view.vms.iter().map(|vm| vm.name.as_str())));
    };
    last.facts.push(told);
    let text = all.iter().map(Why::text).collect::<Vec<_>>().join("\n");
    let why = all.iter().filter_map(|answer| serde_json::to_value(answer).ok()).collect();
    Answer::data(&WhyView { text, why })
}

fn of_host(host: &HostView, plan: Option<&Value>) -> Why {
    let named = |step: &Value| ["host", "from", "to"].iter().any(|key| step[key] == host.name.as_str());
    let steps = steps(plan, named);
    let kept = rows(plan, "awake").find(|row| row["host"] == host.name.as_str());
    let because = match kept {
        Some(kept) => format!("stays awake: {}", text(&kept["because"])),
        None if steps.iter().any(|step| step.what.starts_with("sleep ")) => {
            "nothing keeps it awake: the plan puts it to sleep".to_owned()
        }
        None => format!("it is {}", host.state),
    };
    let mut facts = vec![
        Fact { what: "VMs", value: counted(&host.vms) },
        Fact { what: "memory", value: format!("{} of {} MiB taken", host.mem_used_mib, host.mem_mib) },
    ];
    if !host.marks.is_empty() {
        facts.push(Fact { what: "marks", value: host.marks.join(", ") });
    }
    facts.extend(host.obstacles.iter().map(|obstacle| Fact { what: "obstacle", value: obstacle.clone() }));
    facts.extend(host.error.iter().map(|error| Fact { what: "last look", value: error.clone() }));
    let refusals = refusals(plan, "host", &host.name);
    Why { kind: "host", name: host.name.clone(), state: host.state.clone(), because, facts, steps, refusals }
}

fn of_vm(vm: &VmView, plan: Option<&Value>) -> Why {
    let steps = steps(plan, |step| step["vm"] == vm.name.as_str());
    let because = match (&vm.host, &vm.immovable) {
        _ if !steps.is_empty() => "the plan moves it".to_owned(),
        (Some(at), Some(why)) => format!("has to stay on {at}: {why}"),
        (Some(at), None) => format!("stays on {at}"),
        (None, _) if vm.hosts.is_empty() => format!("it is {}", vm.state),
        (None, _) => format!("it is {}, on one of {}", vm.state, vm.hosts.join(", ")),
    };
    let facts = vec![
        Fact { what: "memory", value: format!("{} MiB", vm.mem_mib) },
        Fact {
            what: "moves",
            value: format!("{} in the last hour, {} in the last day", vm.moves_hour, vm.moves_day),
        },
    ];
    let refusals = refusals(plan, "vm", &vm.name);
    Why { kind: "vm", name: vm.name.clone(), state: vm.state.clone(), because, facts, steps, refusals }
}

/// A list of the plan, as `plan --format json` has it.
fn rows<'a>(plan: Option<&'a Value>, list: &str) -> impl Iterator<Item = &'a Value> {
    plan.and_then(|plan| plan[list].as_array()).into_iter().flatten()
}

fn steps(plan: Option<&Value>, concerns: impl Fn(&Value) -> bool) -> Vec<Planning> {
    let planning = |step: &Value| {
        let (kind, vm) = (text(&step["kind"]), text(&step["vm"]));
        let words = match (&step["from"], &step["to"]) {
            (Value::String(from), Value::String(to)) => format!("{kind} {vm} {from} -> {to}"),
            _ => [kind, vm, text(&step["host"])]
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
        };
        Planning { what: words, because: text(&step["because"]).to_owned(), buys: None }
    };
    rows(plan, "steps").filter(|step| concerns(step)).map(planning).collect()
}

fn refusals(plan: Option<&Value>, key: &str, name: &str) -> Vec<String> {
    rows(plan, "refusals").filter(|row| row[key] == name).map(|row| text(&row["reason"]).to_owned()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn counted(names: &[String]) -> String {
    if names.is_empty() { "0".to_owned() } else { format!("{} ({})", names.len(), names.join(" ")) }
}
