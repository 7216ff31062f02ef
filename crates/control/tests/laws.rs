//! Laws that hold whatever happens in whatever order: looks that lie, fail or come late, outcomes of any kind, orders of
//! every kind, leases that come and go, stores that refuse, managers that die. A small cluster, events drawn at random,
//! and a judge that sees nothing but events and effects. In the end all is healed, and nothing may stay behind.

mod judge;

use dormouse_control::{Automation, Effect, Event, Order};
use dormouse_model::{
    Action, CheckFailure, DomainState, Epoch, GuardRefusal, HostId, IntentId, Millis, Mono, ObservationId,
    Outcome, OutcomeError, ProbeError, VmId,
};
use judge::Court;
use proptest::prelude::*;

const CLUSTER: &str = "
cluster laws
host h0 cpus=2 mem=2048M role=storage
host h[1-4] cpus=2 mem=1024M watts=45/95/3 boot=20s shutdown=5s
vm   v[1-5]@h[1-4,1] vcpus=1 mem=200M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=30s min_up=0s wakes.burst=2 sleeps.burst=2 moves.vm_hour=20 moves.vm_day=60 cycles.host_day=20
";

/// One draw: what happens, to whom, and how.
#[derive(Clone, Copy, Debug)]
struct Draw {
    what: u8,
    whom: u8,
    how: u8,
}

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    let draw = (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(what, whom, how)| Draw { what, whom, how });
    proptest::collection::vec(draw, 1..160)
}

fn host(draw: Draw) -> HostId {
    HostId(u32::from(draw.whom) % 5)
}

fn outcome(how: u8) -> Outcome {
    match how % 6 {
        0 | 1 => Outcome::Done { downtime: None },
        2 => Outcome::Failed(OutcomeError::Driver("reset".to_owned())),
        3 => Outcome::Refused(vec![GuardRefusal::People { count: 1 }]),
        4 => Outcome::Failed(OutcomeError::Fenced),
        _ => Outcome::Unsure("no word".to_owned()),
    }
}

fn order(draw: Draw, now: Mono) -> Order {
    let at = host(draw);
    match draw.how % 16 {
        0 => Order::Pause { until: None },
        1 => Order::Pause { until: Some(now + Millis::from_secs(u64::from(draw.whom))) },
        2 | 3 => Order::Resume,
        4 => Order::Normalise,
        5 => Order::Apply,
        6 => Order::Refresh { hosts: vec![] },
        7 => Order::Drain { host: at },
        8 => Order::Clear { host: at },
        9 => Order::Maintenance { host: at, on: draw.whom >= 128 },
        10 => Order::Wake { host: at },
        11 => Order::Sleep { host: at },
        12 => Order::SayOff { host: at },
        13 => Order::Move { vm: VmId(u32::from(draw.whom) % 5), to: HostId(u32::from(draw.whom) / 5 % 5) },
        14 => Order::Automation(Automation::Auto),
        _ => Order::Automation([Automation::Observe, Automation::Advise][usize::from(draw.whom % 2)]),
    }
}

fn look_error(how: u8) -> ProbeError {
    match how % 5 {
        0 => ProbeError::Timeout(Millis(8000)),
        1 => ProbeError::Auth("denied".to_owned()),
        2 => ProbeError::Identity("key".to_owned()),
        3 => ProbeError::Malformed("half".to_owned()),
        _ => ProbeError::Unreachable("no route".to_owned()),
    }
}

/// A change of the world behind our back.
fn disturb(court: &mut Court, draw: Draw) {
    let at = host(draw);
    let place = &mut court.world[at.index()];
    match draw.how % 14 {
        0 => place.up = !place.up,
        1 => place.silent = !place.silent,
        2 => place.boot += 1,
        3 => place.machine ^= 1 << 20,
        4 => place.failures = vec![CheckFailure::Libvirt("hung".to_owned())],
        5 => place.failures = vec![CheckFailure::Storage("gone".to_owned())],
        6 | 7 => place.failures.clear(),
        8 => place.people = !place.people,
        9 => place.deaf = !place.deaf,
        10 => {
            court.place_vm(u128::from(draw.whom) / 5 % 7, at, DomainState::Running);
        }
        11 => {
            let states = [
                DomainState::Paused,
                DomainState::PausedMigrating,
                DomainState::Crashed,
                DomainState::ShutOff,
            ];
            court.place_vm(u128::from(draw.whom) / 5 % 7, at, states[usize::from(draw.whom) % 4]);
        }
        12 => court.remove_vm(u128::from(draw.whom) / 5 % 7, at),
        _ => court.toggle_job(at),
    }
}

fn play(court: &mut Court, draw: Draw) {
    match draw.what % 32 {
        0..=5 => court.pass(Millis(u64::from(draw.how % 4 + 1) * 1000)),
        6 => court.pass(Millis(u64::from(draw.how) * 500)),
        7 => court.pass(Millis::from_mins(u64::from(draw.how % 16))),
        // The world answers everything for a while, as it is.
        8..=13 => court.honest(u64::from(draw.how % 64)),
        14 => court.answer_look(host(draw), None),
        15 => court.answer_look(host(draw), Some(look_error(draw.how))),
        16 => court.stale_look(host(draw), ObservationId(u64::from(draw.how))),
        17 | 18 => court.answer_write(usize::from(draw.whom), true),
        19 => court.answer_write(usize::from(draw.whom), false),
        20 => court.durable_again(IntentId(u64::from(draw.how % 64))),
        21 | 22 => court.end_act(usize::from(draw.whom), outcome(draw.how), draw.how >= 128),
        23 => court
            .send(Event::Ended { intent: IntentId(u64::from(draw.whom % 64)), outcome: outcome(draw.how) }),
        24..=26 => disturb(court, draw),
        27 | 28 => {
            let order = order(draw, court.now.mono);
            court.order(order);
        }
        29 => court.lead(
            draw.how.is_multiple_of(3),
            Millis::from_secs(if draw.whom.is_multiple_of(2) { 6 } else { 100_000 }),
        ),
        30 if draw.how.is_multiple_of(4) => court.depose(),
        30 => court.jump(i64::from(draw.how) * 30 - 3600),
        _ => court.restart(draw.whom.is_multiple_of(2)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_law(draws in draws()) {
        let mut court = Court::new(CLUSTER);
        court.honest(20);
        for draw in draws {
            play(&mut court, draw);
        }
        court.heal();
        court.lead(false, Millis::from_secs(1_000_000));
        court.honest(1500);
        court.adjourn();
    }
}

/// The judge would be worth nothing if nothing happened before it.
#[test]
fn the_court_sees_moves_sleeps_and_wakes() {
    let mut court = Court::new(CLUSTER);
    court.honest(400);
    court.order(Order::Normalise);
    court.honest(400);
    court.adjourn();
    for kind in ["migrate", "sleep", "wake"] {
        assert!(court.acted(kind) > 0, "no {kind}");
    }
    assert_eq!(court.epoch(), Epoch(1));
}

#[test]
#[should_panic(expected = "an act follows its own durable intent, once")]
fn the_judge_convicts_an_act_that_nobody_wrote() {
    let mut court = Court::new(CLUSTER);
    let forged = court.forged(Action::Sleep { host: HostId(1) });
    court.judge(Effect::Act(forged), false);
}

#[test]
#[should_panic(expected = "only a host marked draining goes to sleep")]
fn the_judge_convicts_a_sleep_without_draining() {
    let mut court = Court::new(CLUSTER);
    let forged = court.forged(Action::Sleep { host: HostId(1) });
    court.judge(Effect::Write(forged.clone()), false);
    court.durable_unheard(forged.id);
    court.judge(Effect::Act(forged), false);
}

#[test]
#[should_panic(expected = "one outcome, for what was written")]
fn the_judge_convicts_an_outcome_without_an_intent() {
    let close = Effect::Close { intent: IntentId(999), outcome: outcome(0) };
    Court::new(CLUSTER).judge(close, false);
}
