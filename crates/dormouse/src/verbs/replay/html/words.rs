//! What the page says in sentences: the outcome, the rules, what was broken, what the figures do not show.

use super::tables::Total;
use super::{Replay, count, number, percent, tag, text};
use dormouse_sim::replay::Rules;
use std::fmt::Write as _;

/// Broken rules that are named for each policy and day.
const NAMED_MAX: usize = 5;

pub(super) fn lead(out: &mut String, replay: &Replay<'_>) {
    let rules: Vec<&str> = Rules::ALL
        .into_iter()
        .filter(|rules| replay.days.iter().any(|day| day.figures.rules == *rules))
        .map(Rules::as_str)
        .collect();
    let vms = replay.days.iter().map(|day| day.figures.vms);
    let vms = match (vms.clone().min(), vms.max()) {
        (Some(least), Some(most)) if least == most => count(most.into()),
        (Some(least), Some(most)) => format!("{} to {}", count(least.into()), count(most.into())),
        _ => "no".to_owned(),
    };
    _ = writeln!(
        out,
        "<p class=\"quiet\">{vms} VMs · rules {} · {} policies</p>",
        rules.join(", "),
        replay.policies.len()
    );
    let front = front(replay);
    match front.len() {
        0 => *out += "<p class=\"lead\">Every policy broke a rule.</p>\n",
        1 => {
            *out += "<p class=\"lead\">No policy needed less energy, and none left less unserved, than this one:</p>\n"
        }
        _ => {
            *out += "<p class=\"lead\">Energy is easily saved by not serving. These are the policies that no other beats \
                     in both, from the least energy to the least unserved:</p>\n";
        }
    }
    if front.is_empty() {
        return;
    }
    *out += "<ul class=\"lead\">\n";
    for (policy, total) in front {
        let over = number(total.energy_kwh / total.bound_kwh, 4);
        let (energy, moves) = (number(total.energy_kwh, 1), count(total.migrations));
        let unserved = percent(total.unserved, 4);
        let policy = text(policy);
        tag(
            out,
            "li",
            format_args!(
                "<b>{policy}</b>: {energy} kWh ({over} × bound), {unserved} unserved, moves: {moves}"
            ),
        );
    }
    *out += "</ul>\n";
}

/// Who broke no rule and is beaten by nobody in both energy and service; from the least energy on.
fn front<'a>(replay: &Replay<'a>) -> Vec<(&'a str, Total)> {
    let mut ranked: Vec<(&str, Total)> = replay
        .policies
        .iter()
        .map(|policy| (*policy, Total::of(replay.of_policy(policy))))
        .filter(|(_, total)| total.violations == 0)
        .collect();
    // To the digits that are shown: what cannot be told apart there is no better service.
    let by = |total: &Total| [total.energy_kwh, (total.unserved * 1e6).round()];
    ranked.sort_by(|(_, a), (_, b)| {
        let [a, b] = [by(a), by(b)];
        a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]))
    });
    let mut least = f64::INFINITY;
    ranked.retain(|(_, total)| {
        let [_, unserved] = by(total);
        let better = unserved < least;
        least = least.min(unserved);
        better
    });
    ranked
}

pub(super) fn violations(out: &mut String, replay: &Replay<'_>) {
    let broken: Vec<_> = replay.days.iter().filter(|day| !day.figures.violations.is_empty()).collect();
    if broken.is_empty() {
        return;
    }
    *out += "<h2>Rules broken</h2>\n<ul>\n";
    for day in broken {
        let figures = &day.figures;
        for violation in figures.violations.iter().take(NAMED_MAX) {
            tag(
                out,
                "li",
                format_args!("{}, {}: {}", text(&figures.policy), text(&figures.trace), text(violation)),
            );
        }
        if let Some(more) = figures.violations.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            tag(
                out,
                "li",
                format_args!("{}, {}: … and {more} more", text(&figures.policy), text(&figures.trace)),
            );
        }
    }
    *out += "</ul>\n";
}

const COMMON: [&str; 7] = [
    "A VM keeps its memory all the time it runs; memory is a hard limit on every host at every instant.",
    "Demand is a step function of the trace. A host serves the demand of its VMs together up to its total; what is not \
     served is counted and does not come back later.",
    "All VMs arrive at the beginning and are placed by the policy, free of charge; hosts it does not use are asleep.",
    "A host draws its idle watts when it is on with no load, and by its power curve with load; waking it takes its boot \
     time at full watts, putting it to sleep its shutdown time at idle watts, and meanwhile it serves nothing.",
    "A move takes the VM's memory over the link, which the moves of a host share, and costs 10 % of the VM's demand \
     while it lasts.",
    "A policy is asked every 300 s, sees what an operator could see then, and never what comes.",
    "Energy has everything in it: idling, waking, going to sleep, moving, asleep.",
];
const CHURN: &str = "A VM whose trace shows 0 twice in a row is stopped, and its memory is free; at the next sample above 0 \
                     it is started again, at once where a host that is on has room, else it waits.";

pub(super) fn rules(out: &mut String, replay: &Replay<'_>) {
    *out += "<h2>Rules</h2>\n<ul>\n";
    for rule in COMMON {
        tag(out, "li", rule);
    }
    if replay.days.iter().any(|day| day.figures.rules == Rules::Churn) {
        tag(out, "li", format_args!("<b>churn</b>: {CHURN}"));
    }
    *out += "</ul>\n";
}

const CAVEATS: [&str; 5] = [
    "The floor takes memory for water and knows the future; whole VMs cannot reach it. The bound counts whole VMs and \
     also knows the future; it is sound, and may be out of reach too.",
    "The trace says what VMs used, which is at most what their old hosts gave them.",
    "Sizes of VMs in the PlanetLab trace are the literature's (four kinds, by the order of the file), not measured.",
    "Moves do not fail and do not depend on how fast a VM writes its memory; hosts boot in the time they are said to, \
     and always.",
    "The policies of the literature (THR, IQR, MAD, LR with MMT) are written anew from their description and run under \
     the rules above. Figures published for them come from a model that lets VMs vanish and asks them for no memory, \
     and cannot be compared with these.",
];

pub(super) fn caveats(out: &mut String, replay: &Replay<'_>) {
    *out += "<h2>What these figures do not show</h2>\n<ul>\n";
    for caveat in CAVEATS {
        tag(out, "li", caveat);
    }
    if replay.policies.contains(&"hsqueeze") {
        tag(
            out,
            "li",
            "hsqueeze knows memory and virtual CPUs, not demand: it packs once and answers the same until a VM moves.",
        );
    }
    *out += "</ul>\n";
}
