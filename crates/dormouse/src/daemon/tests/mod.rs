//! The daemon as its operator meets it: started on a real store and a real socket, with pretend hosts.

mod disk;
mod fence;
mod large;
mod words;
mod world;

use super::client::{self, Client};
use super::wire::{
    Answer, CalendarView, HostView, OrderView, OrderWord, PlanView, REQUEST_BYTES_MAX, StatusView, Verb,
};
use super::{DaemonClock, Ended, Lead, Listening, Rim, Runner};
use crate::cli::Exit;
use disk::Disk;
use dormouse_control::{Automation, Settings};
use dormouse_driver::{AuditEntry, AuditLine, EventRecord, Lease as _, Remembered, Store};
use dormouse_model::{Cluster, Millis, ProbeError, text};
use dormouse_store::{FileLease, SqliteStore};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use world::{Fault, World};

/// Policy hours pass in seconds; looks come every few milliseconds.
const CLUSTER: &str = "
cluster pretend
host a address=a mem=2048M cpus=2 boot=1s shutdown=1s
host b address=b mem=2048M cpus=2 boot=1s shutdown=1s
host c address=c mem=2048M cpus=2 boot=1s shutdown=1s
host d address=d mem=2048M cpus=2 boot=1s shutdown=1s
policy balanced failover=0 spare.min=0 spare.target=0 time.scale=7200
";

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(automation: Automation) -> Settings {
    Settings {
        automation,
        observe_every: Millis(80),
        look_deadline: Millis(60),
        fresh: Millis(500),
        t_on: Millis::from_secs(20),
        t_off: Millis::from_secs(20),
        // After a failure, and while the store refuses, a rest of this length: as short as all else here.
        backoff: Millis(500),
        ..Settings::default()
    }
}

/// A manager's machine: its folder outlives every daemon on it.
struct Machine {
    dir: TempDir,
    world: World,
    full: Arc<AtomicBool>,
    hangs: Arc<watch::Sender<bool>>,
    writes: Arc<AtomicUsize>,
    cluster: String,
    settings: Settings,
}

/// One running daemon. Dropping it is a kill -9: nothing is written, nothing is waited for.
struct Daemon {
    runtime: Option<Runtime>,
    store: SqliteStore,
    socket: PathBuf,
    handle: super::runner::Handle,
    ended: Option<tokio::task::JoinHandle<Ended>>,
    _serving: super::socket::Serving,
}

impl Machine {
    fn new(mode: Automation, hosts: &[(&str, usize)]) -> Self {
        Self::of(World::new(hosts), CLUSTER.to_owned(), settings(mode))
    }

    fn of(world: World, cluster: String, settings: Settings) -> Self {
        let dir = TempDir::new().expect("a folder");
        let (full, hangs, writes) = (Arc::default(), Arc::default(), Arc::default());
        Self { dir, world, full, hangs, writes, cluster, settings }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    fn start(&self) -> Daemon {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let cluster = Arc::new(text::parse(&self.cluster).expect("a cluster"));
        let store = SqliteStore::open(&self.dir.path().join("dormouse.db")).expect("a store");
        let (full, hangs) = (Arc::clone(&self.full), Arc::clone(&self.hangs));
        let disk = Arc::new(Disk { store: store.clone(), full, hangs, writes: Arc::clone(&self.writes) });
        let (runner, listening) = runtime.block_on(async {
            let lease = FileLease::new(&store);
            let term = lease.campaign("test").await.expect("free");
            let kept = store.load().await.expect("whole");
            let rim = self.rim(cluster, &disk, lease, &kept);
            let lead = Lead { term, asked: rim.clock.mono() };
            let runner = Runner::start(rim, self.settings.clone(), &kept, lead).expect("reads");
            (runner, Listening::bind(&self.socket()).await.expect("a socket"))
        });
        let handle = runner.handle();
        let serving = {
            let _in_runtime = runtime.enter();
            listening.serve(handle.clone(), disk)
        };
        let ended = Some(runtime.spawn(runner.run()));
        Daemon { runtime: Some(runtime), store, socket: self.socket(), handle, ended, _serving: serving }
    }

    fn rim(&self, cluster: Arc<Cluster>, disk: &Arc<Disk>, lease: FileLease, kept: &Remembered) -> Rim {
        let world = Arc::new(self.world.clone());
        Rim {
            probe: Arc::clone(&world) as _,
            hypervisor: Arc::clone(&world) as _,
            power: world,
            store: Arc::clone(disk) as _,
            lease: Arc::new(lease),
            shared: false,
            clock: DaemonClock::system(),
            cluster,
            cluster_id: kept.cluster,
            login_idle: Millis::from_mins(30),
            definitions: Arc::new(super::Definitions::of(kept)),
        }
    }
}

impl Daemon {
    fn ask<T: DeserializeOwned>(&self, verb: &Verb) -> T {
        serde_json::from_value(client::ask(&self.socket, verb).expect("an answer")).expect("of that shape")
    }

    fn status(&self) -> StatusView {
        self.ask(&Verb::Status)
    }

    fn host(&self, name: &str) -> HostView {
        let hosts: Vec<HostView> = self.ask(&Verb::Hosts);
        hosts.into_iter().find(|host| host.name == name).expect("a host")
    }

    fn events(&self, name: &str) -> Vec<EventRecord> {
        let all: Vec<EventRecord> = self.ask(&Verb::Events { after: Some(0), last: None, follow: false });
        all.into_iter().filter(|event| event.name == name).collect()
    }

    fn order(&self, order: OrderWord) -> Result<OrderView, (Exit, String)> {
        let mut client = Client::to(&self.socket).expect("a daemon");
        client.order(order).map_err(|failure| (failure.exit(), failure.one_line()))
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            let trail: Vec<EventRecord> =
                self.ask(&Verb::Events { after: Some(0), last: None, follow: false });
            assert!(began.elapsed() < PATIENCE, "never: {what}\n{:#?}\n{trail:#?}", self.status());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_settled(&self) {
        self.until("everything written is closed", |daemon| daemon.open_intents() == 0);
    }

    fn open_intents(&self) -> usize {
        self.runtime().block_on(self.store.load()).expect("whole").open.len()
    }

    fn definitions(&self) -> usize {
        let kept = self.runtime().block_on(self.store.load()).expect("whole");
        kept.settings.iter().filter(|(key, _)| key.starts_with("definition/")).count()
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("until it is dropped")
    }

    /// As SIGTERM does.
    fn stop(mut self) -> Ended {
        let ended = self.ended.take().expect("once");
        let handle = self.handle.clone();
        self.runtime().block_on(async {
            handle.stop(Ended::Stopped).await;
            ended.await.expect("no panic")
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Everything it held is let go of, as by the kernel when a process ends.
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

#[test]
fn observing_it_sees_everything_and_touches_nothing() {
    let machine = Machine::new(Automation::Observe, &[("a", 2), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.until("all hosts are on", |daemon| {
        daemon.status().hosts.iter().any(|count| count.state == "on" && count.count == 4)
    });
    let status = daemon.status();
    assert_eq!((status.mode.as_str(), status.epoch, status.paused), ("observe", Some(1), false));
    assert_eq!(daemon.host("a").vms, ["a-vm1", "a-vm2"]);
    daemon.until("a plan would do something", |daemon| {
        daemon.ask::<PlanView>(&Verb::Plan { at_ms: None }).steps > 0
    });
    assert_eq!(machine.world.effects(), 0);
    assert_eq!(daemon.stop(), Ended::Stopped);
    assert!(!machine.socket().exists(), "the name is taken away");
}

#[test]
fn advising_it_waits_for_apply_and_writes_down_how_it_ended() {
    let machine = Machine::new(Automation::Advise, &[("a", 2), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.until("it advises", |daemon| !daemon.events("plan.advised").is_empty());
    let plan: PlanView = daemon.ask(&Verb::Plan { at_ms: None });
    assert!(plan.plan["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{}", plan.plan);
    assert!(plan.text.contains("sleep"), "{}", plan.text);
    assert_eq!(machine.world.effects(), 0);

    daemon.order(OrderWord::Apply).expect("taken");
    daemon.until("hosts sleep", |daemon| {
        daemon.status().hosts.iter().any(|count| count.state == "asleep" && count.count >= 2)
    });
    daemon.until_settled();
    assert_eq!(machine.world.all_vms(), 3, "no VM was lost");
    let kept = daemon.runtime().block_on(daemon.store.load()).expect("whole");
    assert_eq!(usize::try_from(kept.last_intent), Ok(machine.world.effects()), "one intent for each effect");
}

#[test]
fn left_alone_it_packs_the_vms_and_switches_the_rest_off() {
    let machine = Machine::new(Automation::Auto, &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    let daemon = machine.start();
    daemon.until("one host carries everything", |daemon| daemon.status().hosts_on == 1);
    daemon.until_settled();
    assert_eq!(machine.world.all_vms(), 4);
    assert!(
        machine.world.calls("off").iter().all(|call| call.ends_with(" e1")),
        "the guard is told our epoch"
    );

    daemon.order(OrderWord::Normalise).expect("taken");
    daemon
        .until("all are back", |daemon| daemon.status().hosts_on == 4 && daemon.status().running.is_empty());
}

#[test]
fn a_manager_killed_in_the_middle_of_a_move_finds_it_done_and_does_not_repeat_it() {
    let machine = Machine::new(Automation::Auto, &[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    machine.world.hold_moves(true);
    let daemon = machine.start();
    daemon.until("a move is under way", |_| !machine.world.calls("migrate").is_empty());
    assert!(daemon.open_intents() > 0);
    drop(daemon);

    // The hosts finish it between themselves.
    let moves = machine.world.calls("migrate");
    for call in &moves {
        let words: Vec<&str> = call.split(' ').collect();
        machine.world.complete_move(words[1].parse().expect("a UUID"), words[2], words[3]);
    }
    machine.world.hold_moves(false);
    let daemon = machine.start();
    daemon.until("hosts sleep", |daemon| daemon.status().hosts_on == 1);
    daemon.until_settled();
    assert!(!daemon.events("intent.adopted").is_empty());
    assert_eq!(machine.world.calls("migrate"), moves, "not one of them twice");
    assert_eq!(machine.world.all_vms(), 2);
}

#[test]
fn a_silent_a_refusing_a_hanging_and_a_crashing_host_cost_the_others_nothing() {
    let machine = Machine::new(Automation::Auto, &[("a", 1), ("b", 1), ("c", 0), ("d", 1)]);
    machine
        .world
        .fault("a", Some(Fault::Answers(ProbeError::Auth("Permission denied (publickey)".to_owned()))));
    machine.world.fault("b", Some(Fault::Hangs));
    machine.world.fault("c", Some(Fault::Panics));
    let daemon = machine.start();
    daemon.until("d is on", |daemon| daemon.host("d").state == "on");
    daemon.until("each fault is named", |daemon| {
        daemon.status().trouble.len() == 3 && daemon.host("b").error.is_some()
    });
    let why = |host: &str| daemon.host(host).error.unwrap_or_default();
    assert_eq!(why("a"), "it refused our key: Permission denied (publickey)");
    daemon.until("the hang is named", |daemon| {
        daemon.host("b").error.is_some_and(|why| why.starts_with("no answer within"))
    });
    assert_eq!(why("c"), "its answer makes no sense: our look at it failed: it panicked");
    assert!(machine.world.calls("off").is_empty(), "what is unknown counts as full");
    for host in ["a", "b", "c"] {
        machine.world.fault(host, None);
    }
    daemon.until("all are seen again", |daemon| daemon.status().trouble.is_empty());
}

#[test]
fn without_a_single_host_it_stays_up_and_says_so() {
    let machine = Machine::new(Automation::Auto, &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    for host in ["a", "b", "c", "d"] {
        machine
            .world
            .fault(host, Some(Fault::Answers(ProbeError::Unreachable("no route to host".to_owned()))));
    }
    let daemon = machine.start();
    daemon.until("all are in trouble", |daemon| {
        let trouble = daemon.status().trouble;
        trouble.len() == 4 && trouble.iter().all(|host| host.why == "cannot connect: no route to host")
    });
    assert_eq!(machine.world.effects(), 0);
}

#[test]
fn a_pause_outlives_a_restart_and_ends_with_resume() {
    let machine = Machine::new(Automation::Auto, &[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.order(OrderWord::Pause { for_ms: None }).expect("taken");
    let before = machine.world.effects();
    assert!(daemon.status().paused);
    assert_eq!(daemon.stop(), Ended::Stopped);

    let daemon = machine.start();
    assert!(daemon.status().paused);
    daemon.until("it has looked", |daemon| daemon.host("d").state == "on");
    daemon.until("it would do something", |daemon| {
        daemon.ask::<PlanView>(&Verb::Plan { at_ms: None }).steps > 0
    });
    assert_eq!(machine.world.effects(), before);
    daemon.order(OrderWord::Resume).expect("taken");
    daemon.until("it acts", |_| machine.world.effects() > before);
    drop(daemon);
    assert!(!machine.start().status().paused, "the resume was kept, too");
}

#[test]
fn a_pause_that_has_run_out_is_forgotten() {
    let machine = Machine::new(Automation::Observe, &[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.order(OrderWord::Pause { for_ms: Some(1) }).expect("taken");
    assert_eq!(daemon.stop(), Ended::Stopped);
    assert!(!machine.start().status().paused);
}

#[test]
fn normalise_outlives_a_restart_and_ends_with_resume() {
    let machine = Machine::new(Automation::Observe, &[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.order(OrderWord::Normalise).expect("taken");
    assert_eq!(daemon.stop(), Ended::Stopped);
    let daemon = machine.start();
    assert_eq!(daemon.status().goal, "spread");
    daemon.order(OrderWord::Resume).expect("taken");
    assert_eq!(daemon.stop(), Ended::Stopped);
    assert_eq!(machine.start().status().goal, "compact");
}

#[test]
fn on_a_full_disk_nothing_starts_and_it_goes_on_when_there_is_room() {
    let machine = Machine::new(Automation::Auto, &[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    machine.full.store(true, Ordering::SeqCst);
    let daemon = machine.start();
    daemon.until("it wants to do something", |daemon| daemon.status().since_start.plans > 0);
    assert_eq!(machine.world.effects(), 0);
    machine.full.store(false, Ordering::SeqCst);
    daemon.until("hosts sleep", |daemon| daemon.status().hosts_on == 1);
    daemon.until_settled();
    let kept = daemon.runtime().block_on(daemon.store.load()).expect("whole");
    assert_eq!(kept.hosts.len(), 4, "memory that waited was written");
}

#[test]
fn orders_name_things_as_people_do() {
    let machine = Machine::new(Automation::Observe, &[("a", 1), ("b", 1), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    daemon.until("all are on", |daemon| daemon.status().trouble.is_empty() && daemon.host("d").state == "on");
    let refused = |order| daemon.order(order).expect_err("refused");
    let host = |name: &str| name.to_owned();
    assert_eq!(
        refused(OrderWord::Drain { host: host("e") }),
        (Exit::Usage, "there is no host `e`; did you mean `a`?".to_owned())
    );
    assert_eq!(
        refused(OrderWord::Move { vm: "a-vm2".to_owned(), to: host("b") }),
        (Exit::Usage, "there is no VM `a-vm2`; did you mean `a-vm1`?".to_owned())
    );
    let (exit, why) = refused(OrderWord::SayOff { host: host("d") });
    assert_eq!((exit, why.as_str()), (Exit::Refused, "d is on: it answers, or did a moment ago"));
    let order = daemon.order(OrderWord::Maintenance { host: host("d"), on: true }).expect("taken");
    assert_eq!(daemon.host("d").marks, ["maintenance"]);
    assert!(!order.by.is_empty());
    assert_eq!(order.told[0].fields[0], ("by".to_owned(), order.by));
    daemon.order(OrderWord::Move { vm: "a-vm1".to_owned(), to: host("b") }).expect("taken");
    daemon.until("it is there", |daemon| daemon.host("b").vms.len() == 2);
}

#[test]
fn followed_events_come_as_they_happen() {
    let machine = Machine::new(Automation::Observe, &[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    let mut follower = Client::to(&daemon.socket).expect("a daemon");
    let _before: Vec<EventRecord> =
        follower.ask(Verb::Events { after: None, last: Some(1), follow: true }).expect("an answer");
    daemon.order(OrderWord::Maintenance { host: "c".to_owned(), on: true }).expect("taken");
    let mut last = 0;
    loop {
        let event = follower.next::<EventRecord>().expect("a line").expect("still open");
        assert!(event.seq > last, "in order");
        last = event.seq;
        if event.name == "order" {
            break;
        }
    }
}

#[test]
fn the_socket_is_ours_alone_and_takes_no_nonsense() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new(Automation::Observe, &[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
    let daemon = machine.start();
    let mode = std::fs::metadata(&daemon.socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let answer = |line: &[u8]| -> Answer {
        let mut stream = UnixStream::connect(&daemon.socket).expect("a daemon");
        stream.write_all(line).expect("sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("answered");
        serde_json::from_str(&answer).expect("an answer")
    };
    let message = |line: &[u8]| answer(line).error.expect("refused").message;
    assert_eq!(
        message(b"{\"v\":7,\"verb\":\"status\"}\n"),
        "the request has version 7, and this daemon speaks 1"
    );
    assert!(message(b"reboot\n").starts_with("this is not a request: "));
    assert!(message(b"\xff\xfe\n").starts_with("this is not a request: "));
    assert!(message(b"{\"v\":1,\"verb\":\"reboot\"}\n").contains("unknown variant"));
    assert_eq!(message(&vec![b'['; REQUEST_BYTES_MAX]), "the request is too long");
    assert!(message(&[vec![b'['; 5_000], b"\n".to_vec()].concat()).contains("recursion limit"));
    assert!(answer(b"{\"v\":1,\"verb\":\"status\"}\n").ok);

    let taken = daemon.runtime().block_on(Listening::bind(&daemon.socket)).expect_err("taken");
    assert_eq!(taken.to_string(), "another daemon answers there");
    drop(daemon);
    drop(machine.start());
}

#[test]
fn nobody_answers_where_no_daemon_is() {
    let dir = TempDir::new().expect("a folder");
    let failure = client::ask(&dir.path().join("none.sock"), &Verb::Status).expect_err("nobody");
    assert_eq!(failure.exit(), Exit::Unreachable);
    assert!(failure.one_line().ends_with("start it with `dormouse run`, or name its settings with --config"));
}
