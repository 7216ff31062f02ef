//! The rules of the traits, held against an implementation. Each function gives back the rules it saw broken, in words;
//! none is good. Every implementation runs this in its tests, the pretend hosts of [`crate::fake`] included.

use crate::{Definition, End, Hypervisor, MoveRequest, Probe, Settlement};
use dormouse_model::{DomainState, HostSpec, Millis, Outcome};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What the suite may use. It defines, starts, moves and ends this VM and touches no other.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Two hosts that answer; without [`moves`](Self::moves) they may be one and the same.
    pub hosts: [&'a HostSpec; 2],
    /// Not known to either host.
    pub vm: Uuid,
    /// Its definition.
    pub xml: &'a str,
    /// Whether the hosts can move VMs.
    pub moves: bool,
    /// Whether the guest shuts down when asked to. If not, it still runs at the end: on the second host with
    /// [`moves`](Self::moves), else on the first.
    pub guest_obeys: bool,
}

const DEADLINE: Millis = Millis(20_000);
const MOVE: Millis = Millis(60_000);
const DONE: Outcome = Outcome::Done { downtime: None };

#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    fn unless(&mut self, holds: bool, rule: &str, seen: impl std::fmt::Debug) {
        if !holds {
            self.0.push(format!("{rule}; seen: {seen:?}"));
        }
    }
}

/// The whole way of a VM: unknown, defined, started, moved there and back, stopped, removed.
pub async fn hypervisor(driver: &dyn Hypervisor, given: &Given<'_>) -> Vec<String> {
    let mut broken = Broken::default();
    unknown(driver, given, &mut broken).await;
    let [first, second] = given.hosts;
    let defined = driver.define(first, given.xml, DEADLINE).await;
    broken.unless(defined == Ok(given.vm), "define answers the UUID in the XML", &defined);
    let found = find(driver, given, first).await;
    let as_defined = found
        .as_ref()
        .is_some_and(|vm| vm.state == DomainState::ShutOff && vm.persistent && vm.xml.contains("<domain"));
    broken.unless(as_defined, "a defined VM is listed: shut off, persistent, with its XML", &found);

    let started = driver.start(given.vm, first, DEADLINE).await;
    broken.unless(started == DONE, "start starts", &started);
    let again = driver.start(given.vm, first, DEADLINE).await;
    broken.unless(again == DONE, "what is asked for and so already is done", &again);
    let removed = driver.undefine(given.vm, first, DEADLINE).await;
    broken.unless(matches!(removed, Outcome::Failed(_)), "a running VM keeps its definition", &removed);
    let found = find(driver, given, first).await;
    broken.unless(
        found.as_ref().is_some_and(|vm| vm.state == DomainState::Running && vm.persistent),
        "it runs",
        &found,
    );
    let nothing = driver.abort(given.vm, first, DEADLINE).await;
    broken.unless(nothing == DONE, "with nothing to abort, abort is done", &nothing);

    if given.moves {
        moves(driver, given, &mut broken).await;
    }
    if given.guest_obeys {
        let last = if given.moves { second } else { first };
        let stopped = driver.stop(given.vm, last, DEADLINE).await;
        broken.unless(stopped == DONE, "a guest that obeys is stopped", &stopped);
        broken.0.extend(undefined_again(driver, given, last).await);
    }
    broken.0
}

/// The end of the way: the VM is shut off on this host, and goes.
pub async fn undefined_again(driver: &dyn Hypervisor, given: &Given<'_>, host: &HostSpec) -> Vec<String> {
    let mut broken = Broken::default();
    let removed = driver.undefine(given.vm, host, DEADLINE).await;
    broken.unless(removed == DONE, "a VM that is shut off can be removed", &removed);
    let found = find(driver, given, host).await;
    broken.unless(found.is_none(), "a removed VM is not listed", &found);
    broken.0
}

async fn unknown(driver: &dyn Hypervisor, given: &Given<'_>, broken: &mut Broken) {
    let [first, second] = given.hosts;
    let start = driver.start(given.vm, first, DEADLINE).await;
    broken.unless(matches!(start, Outcome::Failed(_)), "a VM that is not there cannot start", &start);
    let moved = driver
        .migrate(MoveRequest { vm: given.vm, from: first, to: second, deadline: MOVE, progress: None })
        .await;
    broken.unless(matches!(moved, Outcome::Failed(_)), "a VM that is not there cannot move", &moved);
    for (what, outcome) in [
        ("stopped", driver.stop(given.vm, first, DEADLINE).await),
        ("aborted", driver.abort(given.vm, first, DEADLINE).await),
        ("removed", driver.undefine(given.vm, first, DEADLINE).await),
    ] {
        broken.unless(outcome == DONE, &format!("a VM that is not there is {what} already"), &outcome);
    }
    let settled = driver.settle(given.vm, first, second, DEADLINE).await;
    let gone = settled
        .as_ref()
        .is_ok_and(|settled| settled.settlement == Settlement::Gone && settled.source == End::Absent);
    broken.unless(gone, "a VM that is on neither end is gone", &settled);
    for bad in ["", "<domain", "<network/>", "<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>"] {
        let defined = driver.define(first, bad, DEADLINE).await;
        broken.unless(defined.is_err(), "what is no definition is refused", (bad, &defined));
    }
}

async fn moves(driver: &dyn Hypervisor, given: &Given<'_>, broken: &mut Broken) {
    let [first, second] = given.hosts;
    for (from, to) in [(first, second), (second, first), (first, second)] {
        let (tell, _) = tokio::sync::watch::channel(None);
        let moved = driver
            .migrate(MoveRequest { vm: given.vm, from, to, deadline: MOVE, progress: Some(tell) })
            .await;
        broken.unless(matches!(moved, Outcome::Done { .. }), "a running VM moves", &moved);
        let (left, there) = (find(driver, given, from).await, find(driver, given, to).await);
        broken.unless(left.is_none(), "after a move the source is without it", &left);
        let whole = there.as_ref().is_some_and(|vm| vm.state == DomainState::Running && vm.persistent);
        broken.unless(whole, "after a move it runs at the destination, where it is persistent", &there);
        let again =
            driver.migrate(MoveRequest { vm: given.vm, from, to, deadline: MOVE, progress: None }).await;
        broken.unless(matches!(again, Outcome::Failed(_)), "it cannot move from where it is not", &again);
        let settled = driver.settle(given.vm, from, to, DEADLINE).await;
        let moved = settled.as_ref().is_ok_and(|settled| settled.settlement == Settlement::Moved);
        broken.unless(moved, "a whole move needs no settling", &settled);
        // A definition that someone left behind is no reason not to come back.
        let left_behind = driver.define(from, given.xml, DEADLINE).await;
        broken.unless(left_behind == Ok(given.vm), "it can be defined where it does not run", &left_behind);
        let settled = driver.settle(given.vm, from, to, DEADLINE).await;
        let dropped = settled.as_ref().is_ok_and(|settled| settled.settlement == Settlement::DropDefinition);
        broken.unless(
            dropped && find(driver, given, from).await.is_none(),
            "settling drops what a move left defined",
            &settled,
        );
        if from.name == first.name {
            let _ = driver.define(first, given.xml, DEADLINE).await;
        }
    }
    // The last round left a definition on the first host on purpose; the way ends on the second.
    let removed = driver.undefine(given.vm, first, DEADLINE).await;
    broken.unless(removed == DONE, "a left-over definition can be removed", &removed);
}

async fn find(driver: &dyn Hypervisor, given: &Given<'_>, host: &HostSpec) -> Option<Definition> {
    let all = driver.definitions(host, DEADLINE).await.ok()?;
    all.into_iter().find(|vm| vm.uuid == given.vm)
}

/// Looks at a host that answers.
pub async fn probe(driver: &dyn Probe, host: &HostSpec) -> Vec<String> {
    let mut broken = Broken::default();
    let (one, two) = (driver.look(host, DEADLINE).await, driver.look(host, DEADLINE).await);
    match (&one, &two) {
        (Ok(one), Ok(two)) => {
            broken.unless(
                one.machine == two.machine && one.boot == two.boot,
                "a host stays who it is",
                (one, two),
            );
            broken.unless(two.cpus > 0 && two.mem.0 > 0, "a host has processors and memory", two);
            broken.unless(
                two.vms.is_sorted_by_key(|vm| vm.uuid),
                "VMs come in the order of their UUIDs",
                &two.vms,
            );
        }
        other => broken.unless(false, "a host that answers is seen", other),
    }
    driver.forget(&host.name).await;
    let start = Instant::now();
    let hurried = driver.look(host, Millis(0)).await;
    broken.unless(
        start.elapsed() < Duration::from_secs(1),
        "a look is over by its deadline",
        start.elapsed(),
    );
    broken.unless(hurried.is_err() || hurried == one, "a look without time is an error or right", &hurried);
    let after = driver.look(host, DEADLINE).await;
    broken.unless(after.is_ok(), "a forgotten host is found again", &after);
    broken.0
}
