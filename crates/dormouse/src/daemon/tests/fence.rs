//! A host dies; a person says so, or its power control does; its VMs run elsewhere, by definitions that the daemon had kept.

use super::disk::Disk;
use super::world::{Fault, World};
use super::{CLUSTER, Machine, OrderWord, settings};
use crate::cli::Exit;
use dormouse_control::{Automation, Restart, Settings};
use dormouse_driver::{Lease as _, Store as _};
use dormouse_model::{
    Action, Epoch, HostId, Intent, IntentId, Millis, Mono, Outcome, OutcomeError, PlanId, ProbeError, StepId,
    text,
};
use dormouse_store::{FileLease, SqliteStore};
use std::sync::Arc;

#[test]
fn a_dead_hosts_vms_start_elsewhere_by_the_word_of_a_person_and_outlive_the_daemon() {
    let machine = Machine::new(Automation::Observe, &[("a", 2), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.until("every definition is kept", |daemon| daemon.definitions() == 3);
    machine.world.dies("a");
    daemon.until("a is unknown", |daemon| daemon.host("a").state == "unknown");
    assert_eq!(machine.world.calls("start"), Vec::<String>::new(), "silence starts nothing");
    let (exit, why) = daemon.order(OrderWord::Fence { host: "b".into() }).expect_err("b is on");
    assert_eq!(exit, Exit::Refused);
    assert!(why.contains("b: it is on"), "{why}");

    // Another manager has to know what ran there.
    drop(daemon);
    let daemon = machine.start();
    daemon.until("a is unknown again, with its VMs", |daemon| daemon.host("a").vms.len() == 2);
    daemon.until("it may be fenced", |daemon| daemon.order(OrderWord::Fence { host: "a".into() }).is_ok());
    daemon.until("both run again", |daemon| daemon.events("vm.restarted").len() == 2);
    daemon.until_settled();
    assert_eq!(machine.world.calls("start").len(), 2, "each once");
    assert_eq!(machine.world.calls("define").len(), 2);
    assert_eq!(machine.world.all_vms(), 3);
    assert_eq!(daemon.host("a").marks, ["fenced"]);
}

/// The word is about a machine that is off. One that answers, even with nonsense, is not.
#[test]
fn a_host_that_says_anything_is_not_fenced() {
    let machine = Machine::new(Automation::Observe, &[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.until("a is on", |daemon| daemon.host("a").state == "on");
    machine.world.fault("a", Some(Fault::Answers(ProbeError::Auth("publickey".to_owned()))));
    daemon.until("a is unknown", |daemon| daemon.host("a").state == "unknown");
    let (exit, why) = daemon.order(OrderWord::Fence { host: "a".into() }).expect_err("it speaks");
    assert_eq!(exit, Exit::Refused);
    assert!(why.contains("something answers there"), "{why}");
}

#[test]
fn taking_a_host_over_is_in_the_trail() {
    let machine = Machine::new(Automation::Observe, &[("a", 0), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.until("a is on", |daemon| daemon.host("a").state == "on");
    daemon.order(OrderWord::Adopt { host: "a".into() }).expect("taken");
    daemon.until("it is told", |daemon| daemon.events("host.adopted").len() == 1);
    let order = daemon.events("order");
    assert!(order[0].fields.contains(&("order".to_owned(), "adopt".to_owned())), "{order:?}");
    assert!(daemon.order(OrderWord::Adopt { host: "z".into() }).is_err());
}

/// It acts by itself, and no host may sleep: what moves or starts does so for the host that is gone.
fn awake(hosts: &[(&str, usize)], settings: Settings) -> Machine {
    Machine::of(World::new(hosts), CLUSTER.replace(" boot=1s", " boot=1s keep-on"), settings)
}

#[test]
fn a_silent_host_is_proved_off_by_its_power_control_and_its_vms_start_elsewhere() {
    let soon = Settings { prove_after: Millis(500), ..settings(Automation::Auto) };
    let machine = awake(&[("a", 2), ("b", 1), ("c", 0), ("d", 0)], soon);
    machine.world.has_power_control("a");
    let daemon = machine.start();
    daemon.until("every definition is kept", |daemon| daemon.definitions() == 3);
    let gone = Fault::Answers(ProbeError::Unreachable("no route".to_owned()));
    machine.world.fault("a", Some(gone.clone()));
    machine.world.fault("b", Some(gone));
    daemon.until("both are unknown", |daemon| {
        ["a", "b"].iter().all(|host| daemon.host(host).state == "unknown")
    });
    daemon.until("a is proved off", |daemon| daemon.host("a").state == "off");
    assert_eq!(machine.world.calls("start"), Vec::<String>::new(), "b may have them by now");
    machine.world.fault("b", None);
    daemon.until("both run again", |daemon| daemon.events("vm.restarted").len() == 2);
    daemon.until_settled();
    assert_eq!(machine.world.calls("prove"), ["prove a"], "b has no such control");
    assert_eq!((machine.world.calls("start").len(), machine.world.all_vms()), (2, 3));
}

/// There is no guard to refuse a command that comes too late.
#[tokio::test]
async fn a_manager_that_was_followed_by_another_proves_nobody_off() {
    let machine = awake(&[("a", 1), ("b", 0), ("c", 0), ("d", 0)], settings(Automation::Auto));
    let store = SqliteStore::open(&machine.dir.path().join("dormouse.db")).expect("a store");
    let lease = FileLease::new(&store);
    let old = lease.campaign("test").await.expect("free").epoch;
    lease.resign(old).await.expect("given up");
    let now = lease.campaign("test").await.expect("free").epoch;
    let kept = store.load().await.expect("whole");
    let disk = Arc::new(Disk {
        store: store.clone(),
        full: Arc::clone(&machine.full),
        hangs: Arc::clone(&machine.hangs),
        writes: Arc::clone(&machine.writes),
    });
    let rim = machine.rim(Arc::new(text::parse(&machine.cluster).expect("a cluster")), &disk, lease, &kept);
    let fence = |epoch: Epoch| Intent {
        id: IntentId(1),
        epoch,
        plan: PlanId(0),
        step: StepId(0),
        action: Action::Fence { host: HostId(0) },
        vm: None,
        deadline: Millis::from_secs(5),
        written: Mono(0),
        good_until: None,
    };
    assert_eq!(rim.clone().act(fence(old)).await, Outcome::Failed(OutcomeError::Fenced));
    assert_eq!(machine.world.calls("prove"), Vec::<String>::new());
    assert_eq!(rim.act(fence(now)).await, Outcome::Done { downtime: None });
    assert_eq!(machine.world.calls("prove"), ["prove a"]);
}

#[test]
fn what_crashes_starts_again_where_it_was_by_the_definition_that_is_there() {
    let restarts = Settings { restart: Restart::OnCrash, ..settings(Automation::Auto) };
    let machine = awake(&[("a", 1), ("b", 0), ("c", 0), ("d", 0)], restarts);
    let daemon = machine.start();
    daemon.until("its definition is kept", |daemon| daemon.definitions() == 1);
    machine.world.crashes("a");
    daemon.until("it runs again", |daemon| daemon.events("vm.restarted").len() == 1);
    assert_eq!(machine.world.calls("start").len(), 1);
    assert!(machine.world.calls("start")[0].ends_with(" a"), "{:?}", machine.world.calls("start"));
    assert_eq!(machine.world.calls("define"), Vec::<String>::new(), "nothing is written over it");
}
