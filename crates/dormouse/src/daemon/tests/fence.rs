//! A host dies; a person says so; its VMs run elsewhere, by definitions that the daemon had kept.

use super::world::Fault;
use super::{Machine, OrderWord};
use crate::cli::Exit;
use dormouse_control::Automation;
use dormouse_model::ProbeError;

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
