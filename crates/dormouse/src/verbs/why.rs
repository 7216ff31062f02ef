//! `dormouse why`: what keeps a host awake, or where a VM is and what would happen to it.

use super::input::{self, PolicyArgs};
use super::plan::{GoalName, HORIZON, Planned};
use crate::cli::{Ctx, Failure, Format, fold, safe, style};
use dormouse_model::text::did_you_mean;
use dormouse_model::{Action, AwakeReason, HostId, Rule, Snapshot, Subject, VmId};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A host or a VM
    #[arg(value_name = "HOST|VM")]
    name: String,

    /// A cluster text; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// What would be planned for
    #[arg(long, value_enum, default_value_t = GoalName::Compact)]
    goal: GoalName,

    #[command(flatten)]
    policy: PolicyArgs,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What there is to say about one host or VM. The same for people and for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) state: String,
    /// One sentence: the answer to "why".
    pub(crate) because: String,
    /// Facts, each with what it is.
    pub(crate) facts: Vec<Fact>,
    /// What the plan would do with it, in order.
    pub(crate) steps: Vec<Planning>,
    pub(crate) refusals: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) what: &'static str,
    pub(crate) value: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Planning {
    pub(crate) what: String,
    pub(crate) because: String,
    /// Watts or the end of an overload; absent where nobody's figures change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buys: Option<String>,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let Some(path) = &args.cluster else {
        #[cfg(feature = "live")]
        return crate::verbs_live::why(ctx, &args.name, args.format);
        #[cfg(not(feature = "live"))]
        return Err(Failure::usage("no cluster to look at").hint("name a cluster text with --cluster FILE"));
    };
    let mut cluster = input::cluster(path)?;
    args.policy.apply(&mut cluster.policy)?;
    let planned = Planned::make(cluster, args.goal.goal(HORIZON), None)?;
    let cluster = &planned.snapshot.cluster;
    let answers = answers(&planned, &args.name);
    if answers.is_empty() {
        let known = cluster
            .hosts
            .iter()
            .map(|host| host.name.as_str())
            .chain(cluster.vms.iter().map(|vm| vm.name.as_str()));
        let near = did_you_mean(&args.name, known);
        let failure = Failure::usage(format!("no host or VM is called `{}`", args.name));
        return Err(match near.strip_prefix("; ") {
            Some(near) => failure.hint(near),
            None => failure.hint(format!("`{}` names them all", path.display())),
        });
    }
    match args.format {
        Format::Json => ctx.print_json(&answers),
        Format::Text => ctx.print(&answers.iter().map(Answer::text).collect::<Vec<_>>().join("\n")),
    }
}

/// What there is to say about everything of that name in the picture.
fn answers(planned: &Planned, name: &str) -> Vec<Answer> {
    let picture = &planned.snapshot;
    let hosts =
        picture.host_ids().filter(|id| picture.host(*id).spec.name == name).map(|id| of_host(planned, id));
    let vms = picture.vm_ids().filter(|id| picture.vm(*id).spec.name == name).map(|id| of_vm(planned, id));
    hosts.chain(vms).collect()
}

/// The answers for people and as data. Empty when nothing in the picture has that name.
#[cfg(feature = "live")]
pub(crate) fn told(planned: &Planned, name: &str) -> serde_json::Result<Vec<(String, serde_json::Value)>> {
    answers(planned, name).iter().map(|answer| Ok((answer.text(), serde_json::to_value(answer)?))).collect()
}

fn of_host(planned: &Planned, id: HostId) -> Answer {
    let snapshot = &planned.snapshot;
    let host = snapshot.host(id);
    let kept =
        planned.report.awake.iter().find(|(awake, _)| *awake == id).map(|(_, reason)| reason.words(snapshot));
    let steps = steps(planned, |action| action.hosts().contains(&id));
    let sleeps =
        planned.plan.steps.iter().any(|step| matches!(step.action, Action::Sleep { host } if host == id));
    let because = match kept {
        Some(kept) => format!("stays awake: {kept}"),
        None if sleeps => "nothing keeps it awake: the plan puts it to sleep".to_owned(),
        None if host.state.is_down() => format!("it is {} and nothing needs it", host.state),
        None => format!("it is {}", host.state),
    };
    let vms: Vec<VmId> = snapshot.vms_on(id).collect();
    let spec = &host.spec;
    let mut facts = vec![
        Fact {
            what: "VMs",
            value: format!(
                "{}{}{}",
                vms.len(),
                // The reason beside it may count what the plan brings here.
                if steps.is_empty() { "" } else { " now" },
                names_in_brackets(vms.iter().map(|vm| snapshot.vm(*vm).spec.name.as_str()))
            ),
        },
        Fact { what: "memory", value: format!("{} of {} taken", snapshot.mem_used(id), spec.mem_for_vms()) },
        Fact {
            what: "load",
            value: host.load15.last().map_or_else(|| "not seen".to_owned(), ToString::to_string),
        },
        Fact {
            what: "power",
            value: format!(
                "{} idle, {} busy, {} asleep",
                spec.watts_idle, spec.watts_busy, spec.watts_asleep
            ),
        },
    ];
    let mut marks: Vec<String> = vec![];
    marks.extend(spec.role.map(|role| format!("role {role}")));
    marks.extend(spec.keep_on.then(|| "keep-on".to_owned()));
    marks.extend(host.maintenance.then(|| "maintenance".to_owned()));
    marks.extend((!host.proven).then(|| "unproven".to_owned()));
    marks.extend(host.drain.then(|| "drain".to_owned()));
    marks.extend(
        host.held.as_ref().map(|hold| format!("held by {}", hold.by.as_deref().unwrap_or("someone"))),
    );
    if !marks.is_empty() {
        facts.push(Fact { what: "marks", value: marks.join(", ") });
    }
    facts
        .extend(host.obstacles.iter().map(|obstacle| Fact { what: "obstacle", value: obstacle.to_string() }));
    Answer {
        kind: "host",
        name: spec.name.clone(),
        state: host.state.to_string(),
        because,
        facts,
        steps,
        refusals: refusals(planned, Subject::Host(id)),
    }
}

fn of_vm(planned: &Planned, id: VmId) -> Answer {
    let snapshot = &planned.snapshot;
    let vm = snapshot.vm(id);
    let host = |host: HostId| snapshot.host(host).spec.name.as_str();
    let steps = steps(planned, |action| action.vm() == Some(id));
    let refusals = refusals(planned, Subject::Vm(id));
    let kept = planned.report.awake.iter().find_map(|(_, reason)| match reason {
        AwakeReason::Immovable { vm, why } if *vm == id => Some(why.to_string()),
        _ => None,
    });
    let places: Vec<&str> = vm.state.hosts().into_iter().map(host).collect();
    let because = match (steps.is_empty(), places.first(), kept) {
        (false, _, _) => "the plan moves it".to_owned(),
        (true, Some(at), Some(kept)) => format!("has to stay on {at}: {kept}"),
        (true, Some(at), None) if !refusals.is_empty() => format!("stays on {at}"),
        (true, Some(at), None) => format!("nothing is gained by moving it from {at}"),
        (true, None, _) => format!("it is {}", vm.state.as_str()),
    };
    let mut facts = vec![
        Fact { what: "at", value: if places.is_empty() { "no host".to_owned() } else { places.join(", ") } },
        Fact { what: "memory", value: vm.spec.mem.to_string() },
        Fact { what: "CPU", value: format!("{} of {}", vm.demand.wake, vm.spec.cpu_limit()) },
    ];
    facts.extend(vm.spec.home.map(|home| Fact { what: "home", value: host(home).to_owned() }));
    for (what, hosts) in [("pin", &vm.spec.pin), ("ban", &vm.spec.ban)] {
        if !hosts.is_empty() {
            facts.push(Fact { what, value: fold(hosts.iter().copied().map(host)) });
        }
    }
    if !vm.spec.devices.networks.is_empty() {
        let lacking = snapshot.hosts.iter().filter(|host| host.spec.lacks(&vm.spec.devices).is_some());
        let lacking = fold(lacking.map(|host| host.spec.name.as_str()));
        let without = if lacking.is_empty() { String::new() } else { format!("; not on {lacking}") };
        facts.push(Fact { what: "networks", value: vm.spec.devices.networks.join(", ") + &without });
    }
    for barred in &vm.barred {
        let to = host(barred.to);
        let value = barred.lacks.map_or_else(
            || format!("{to}: the last move there failed; it rests"),
            |lacks| format!("{to}: {lacks}"),
        );
        facts.push(Fact { what: "not to", value });
    }
    let marks: Vec<&str> = [(vm.spec.no_move, "no-move"), (vm.spec.local_disk, "local-disk")]
        .into_iter()
        .filter(|mark| mark.0)
        .map(|mark| mark.1)
        .collect();
    if !marks.is_empty() {
        facts.push(Fact { what: "marks", value: marks.join(", ") });
    }
    for group in snapshot.cluster.groups.iter().filter(|group| group.vms.contains(&id)) {
        let rules: Vec<String> = group.rules.iter().map(|rule| rule_words(rule, snapshot)).collect();
        facts.push(Fact { what: "group", value: format!("{} ({})", group.name, rules.join(", ")) });
    }
    Answer {
        kind: "vm",
        name: vm.spec.name.clone(),
        state: vm.state.as_str().to_owned(),
        because,
        facts,
        steps,
        refusals,
    }
}

fn rule_words(rule: &Rule, snapshot: &Snapshot) -> String {
    match rule {
        Rule::Spread => "spread".to_owned(),
        Rule::Gather => "gather".to_owned(),
        Rule::Fence(hosts) => {
            format!("fence {}", fold(hosts.iter().map(|host| snapshot.host(*host).spec.name.as_str())))
        }
    }
}

fn names_in_brackets<'a>(names: impl Iterator<Item = &'a str>) -> String {
    match fold(names) {
        names if names.is_empty() => names,
        names => format!(" ({names})"),
    }
}

fn steps(planned: &Planned, concerns: impl Fn(Action) -> bool) -> Vec<Planning> {
    let snapshot = &planned.snapshot;
    let concerned = planned.plan.steps.iter().filter(|step| concerns(step.action));
    concerned
        .map(|step| Planning {
            what: super::plan::action_words(snapshot, step.action),
            because: step.because.words(snapshot),
            buys: step.buys(snapshot).map(|buys| buys.words(snapshot)),
        })
        .collect()
}

fn refusals(planned: &Planned, subject: Subject) -> Vec<String> {
    let concerned = planned.report.refusals.iter().filter(|refusal| refusal.subject == subject);
    concerned.map(|refusal| refusal.reason.to_string()).collect()
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        let strong = style::STRONG;
        let mut out = String::new();
        _ = writeln!(
            out,
            "{strong}{} {}{strong:#} ({}): {}",
            self.kind,
            safe(&self.name),
            self.state,
            safe(&self.because)
        );
        for fact in &self.facts {
            _ = writeln!(out, "  {:9} {}", fact.what, safe(&fact.value));
        }
        for refusal in &self.refusals {
            _ = writeln!(out, "  {:9} {}", "stays", safe(refusal));
        }
        for step in &self.steps {
            _ = writeln!(out, "  {:9} {} ({})", "planned", safe(&step.what), safe(&step.because));
            if let Some(buys) = &step.buys {
                _ = writeln!(out, "  {:9} {}", "buys", safe(buys));
            }
        }
        out
    }
}
