//! Many hosts at once (faults L02, L03): what is silent costs one deadline in all and nobody else anything, and a thousand
//! answers in one instant make a bounded amount of work.

use dormouse_model::{HostId, Millis, Mono, ProbeError};
use dormouse_sim::script::Script;
use dormouse_sim::{Options, Scenario, Sim};
use std::sync::Arc;

const HOSTS: usize = 1000;
const SILENT: usize = 300;

fn play(script: &str) -> Sim {
    let text = "cluster t\nhost h[0001-1000] cpus=4 mem=4096M\nvm v[0001-1000]@h[0001-1000] vcpus=1 mem=256M cpu=0.05\n";
    let cluster = Arc::new(dormouse_model::text::parse(text).expect("a cluster"));
    let script = Script::parse(script, &cluster).expect("a script");
    let scenario = Scenario { name: "t".to_owned(), why: String::new(), cluster, script, golden: None };
    Sim::new(&scenario, Options { check_every: 1000, ..Options::default() })
}

#[test]
fn three_hundred_silent_hosts_of_a_thousand_cost_one_deadline() {
    let mut sim = play("at +60 fault link ctl h[0001-0300]\nrun until +120 seed=1");
    sim.step_until(Mono(1000));
    let settings = sim.controller().expect("it is up").settings().clone();
    let (period, deadline) = (settings.observe_every, settings.look_deadline);
    let second = Millis::from_secs(1);
    let noticed = Mono(60_000) + period + deadline + second;
    while !sim.is_over() {
        sim.step_until(sim.now() + second);
        let controller = sim.controller().expect("it is up");
        for host in (0..HOSTS).map(HostId::at) {
            let (age, error) = controller.last_look(host);
            if host.index() >= SILENT && sim.now() > Mono(2000) {
                let age = age.expect("it answers");
                assert!(age <= period + second, "h{} was looked at {age} ago", host.index() + 1);
            } else if sim.now() >= noticed {
                assert!(matches!(error, Some(ProbeError::Timeout(_))), "h{}: {error:?}", host.index() + 1);
            }
        }
    }
    assert_eq!(sim.result().violations, []);
}

#[test]
fn a_thousand_answers_in_one_instant_are_taken_in_and_nothing_piles_up() {
    let mut sim = play(
        "at +60 operator refresh\nat +60 operator refresh\nat +60 operator refresh\nrun until +75 seed=1",
    );
    sim.step_until(Mono(62_000));
    let controller = sim.controller().expect("it is up");
    // Asked for three times at once, each host was looked at by then and is not asked again before its turn.
    let ages = (0..HOSTS).map(|host| controller.last_look(HostId::at(host)).0.expect("it answers"));
    assert!(ages.max().is_some_and(|age| age <= Millis(2000)));
    // I30: so many effects for one event, and a next tick in time.
    assert_eq!(sim.result().violations, []);
}
