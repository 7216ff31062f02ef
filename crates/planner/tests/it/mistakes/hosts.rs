//! Hosts that must stay on, be left alone, or not be woken.

use super::{OPEN, PACK, TWO, caught, caught_once, said};
use crate::balanced::bare;
use crate::show::{NIGHT, picture};
use dormouse_model::{Goal, HostState, Millis, Obstacle, Seen, Snapshot};
use expect_test::expect;

#[test]
fn hosts_that_stay_on() {
    let marked = |mark: &str| {
        let text = format!(
            "host h1 cpus=4 mem=4G watts=45/95/3\nhost h2 cpus=4 mem=4G watts=45/95/3 {mark}\nvm b@h2 mem=1G cpu=0.1"
        );
        said(&picture(&bare(&text)), NIGHT, PACK)
    };
    assert_eq!(marked(""), "");
    expect![["s1: host#1 must not sleep: marked keep-on\n"]].assert_eq(&marked("keep-on"));
    for role in ["manager", "quorum", "storage", "gateway"] {
        expect![["s1: host#1 must not sleep: it has a role\n"]].assert_eq(&marked(&format!("role={role}")));
    }
    expect![["s1: host#1 must not sleep: never seen to wake\n"]].assert_eq(&marked("unproven"));
    expect![[r"
        s0: host#1 is not ours to empty: in maintenance
        s1: host#1 must not sleep: in maintenance
    "]]
    .assert_eq(&marked("maintenance"));
}

#[test]
fn what_was_seen_of_a_host_keeps_it_on() {
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].load15 = Seen::Stale { was: Default::default(), age: Millis(9) },
        expect![[r"
            s0: host#1 is not ours to empty: not seen
            s1: host#1 must not sleep: not seen
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].obstacles.push(Obstacle::People { count: 1, idle: Millis(9) }),
        expect![[r"
            s1: host#1 must not sleep: something on it says no
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].obstacles.push(Obstacle::BackOff { left: Millis(9) }),
        expect![[r"
            s0: host#1 is not ours to empty: a step failed there lately
            s1: host#1 must not sleep: something on it says no
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].in_state = Millis::from_mins(29),
        expect![[r"
            s1: host#1 must not sleep: on for too short a time
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].cycles_day = 4,
        expect![[r"
            s1: host#1 must not sleep: its power cycles of the day are used up
        "]],
    );
}

#[test]
fn keep_counts() {
    let text = "host h[1-3] cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=1G\nkeep 2 of h[1-3]";
    caught(text, "sleep h2", expect![[r""]]);
    caught(
        text,
        "sleep h2\nsleep h3",
        expect![[r"
            1 of the hosts that a rule keeps on stay on, 2 wanted
        "]],
    );
    let min_on = "cluster c\nhost h[1-3] cpus=4 mem=4G\npolicy balanced spare.min=0 spare.target=0 failover=0 min_on=2\n";
    expect![[r"
        1 hosts stay on, min_on is 2
    "]]
    .assert_eq(&said(&picture(min_on), NIGHT, "sleep h2\nsleep h3"));
}

#[test]
fn holds() {
    caught_once(
        TWO,
        PACK,
        |now| {
            now.hosts[1].held = Some(dormouse_model::Hold { hosts: vec![], until: None, by: None, why: None })
        },
        expect![[r"
            s0: host#1 is not ours to empty: held
            s1: host#1 must not sleep: held
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| {
            now.hosts[0].held = Some(dormouse_model::Hold { hosts: vec![], until: None, by: None, why: None })
        },
        expect![[r"
            s0: host#0 takes no VM: held
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[0].drain = true,
        expect![[r"
            s0: host#0 takes no VM: being emptied by an operator
        "]],
    );
}

#[test]
fn who_may_be_woken() {
    let woken = |state: HostState, goal: Goal, mark: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = picture(&bare("host h[1-2] cpus=4 mem=4G"));
        snapshot.hosts[1].state = state;
        mark(&mut snapshot);
        said(&snapshot, goal, "wake h2")
    };
    let plain = |_: &mut Snapshot| {};
    assert_eq!(woken(HostState::Asleep, NIGHT, &plain), "");
    assert_eq!(woken(HostState::Off, Goal::Spread { wake_off: true }, &plain), "");
    expect![["s0: host#1 must not be woken: switched off by someone else\n"]].assert_eq(&woken(
        HostState::Off,
        OPEN,
        &plain,
    ));
    expect![["s0: host#1 must not be woken: in maintenance\n"]].assert_eq(&woken(
        HostState::Asleep,
        NIGHT,
        &|now| now.hosts[1].maintenance = true,
    ));
    expect![["s0: host#1 is on, not asleep\n"]].assert_eq(&woken(HostState::On, NIGHT, &plain));
    expect![["s0: host#1 is set-aside, not asleep\n"]].assert_eq(&woken(HostState::SetAside, NIGHT, &plain));
}
