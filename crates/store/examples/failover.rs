//! How long nobody leads when a leader dies or freezes, and whether anything is ever done twice: three members of an etcd,
//! three managers (processes of their own), and a pretend host whose guard keeps the highest epoch, as the real one does.
//!
//! `failover --kills N --freezes N [--etcd N]`: so many leaders are killed, so many stopped past twice their lease and let
//! go on, and so many killed together with etcd's own leader. Prints the time from each blow to the first effect of
//! another leader, and what the guard's log says of all effects.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement: it prints, and stops when it cannot set itself up"
)]

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let after = |word: &str| args.iter().position(|arg| arg == word).and_then(|at| args.get(at + 1));
    let count = |word: &str, usual: usize| after(word).map_or(usual, |count| count.parse().unwrap());
    match after("--manager") {
        Some(name) => manager::run(name, after("--guard").unwrap(), after("--endpoints").unwrap()),
        None => blows::run(count("--kills", 100), count("--freezes", 100), count("--etcd", 0)),
    }
}

/// One manager: leads when it can, and while it leads does one thing after another, each with its intent and outcome.
mod manager {
    use dormouse_driver::{ActionRecord, IntentRecord, Lease, Store};
    use dormouse_model::{IntentId, Millis, Outcome, OutcomeError, PlanId, StepId};
    use dormouse_store::{EtcdLease, EtcdSettings, EtcdStore};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    const MARGIN: Duration = Duration::from_secs(2);

    pub(super) fn run(name: &str, guard: &str, endpoints: &str) {
        let settings = EtcdSettings {
            endpoints: endpoints.split(',').map(str::to_owned).collect(),
            prefix: "/failover".to_owned(),
            ca: None,
            identity: None,
            seen: PathBuf::from(name),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let store = loop {
                match EtcdStore::open(&settings).await {
                    Ok(store) => break store,
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            };
            let lease = Arc::new(EtcdLease::new(&store));
            loop {
                let asked = Instant::now();
                if let Ok(term) = lease.campaign(name).await {
                    lead(&store, &lease, term.epoch, asked + Duration::from_millis(term.lasts.0), guard)
                        .await;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }

    async fn lead(
        store: &EtcdStore,
        lease: &Arc<EtcdLease>,
        epoch: dormouse_model::Epoch,
        until: Instant,
        guard: &str,
    ) {
        let origin = Instant::now();
        let since =
            move |at: Instant| u64::try_from(at.saturating_duration_since(origin).as_millis()).unwrap();
        let until = Arc::new(AtomicU64::new(since(until)));
        let (keeping, shared) = (Arc::clone(lease), Arc::clone(&until));
        let keeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let asked = Instant::now();
                match keeping.renew(epoch).await {
                    Ok(term) => shared.store(since(asked) + term.lasts.0, Ordering::SeqCst),
                    Err(dormouse_driver::LeaseError::Over(_)) => return shared.store(0, Ordering::SeqCst),
                    Err(_) => {}
                }
            }
        });
        let Ok(kept) = store.load().await else { return keeper.abort() };
        for open in &kept.open {
            let seen = Outcome::Unsure("another manager began it".to_owned());
            _ = store.close(open.id, &seen).await;
        }
        let mut id = kept.last_intent;
        while until.load(Ordering::SeqCst) > since(Instant::now() + MARGIN) {
            id += 1;
            let intent = IntentRecord {
                id: IntentId(id),
                epoch,
                plan: PlanId(1),
                step: StepId(0),
                action: ActionRecord::Sleep { host: "h".to_owned() },
                vm: None,
                deadline: Millis::from_secs(1),
                written_ms: 0,
            };
            if store.append(&intent).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            // The last look at the lease before the call, as the gate has it.
            if until.load(Ordering::SeqCst) <= since(Instant::now() + MARGIN) {
                break;
            }
            let outcome = if effect(guard, epoch.0, id) {
                Outcome::Done { downtime: None }
            } else {
                Outcome::Failed(OutcomeError::Fenced)
            };
            _ = store.close(IntentId(id), &outcome).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        keeper.abort();
    }

    /// The off command on the pretend host: its guard takes it, or refuses the epoch.
    fn effect(guard: &str, epoch: u64, intent: u64) -> bool {
        let call = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(guard)?;
            writeln!(stream, "{} {epoch} {intent}", std::process::id())?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer)?;
            Ok(answer)
        };
        call().is_ok_and(|answer| answer == "done\n")
    }
}

mod blows {
    use dormouse_members::Members;
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    const LEASE: Duration = Duration::from_secs(6);
    const PATIENCE: Duration = Duration::from_secs(60);

    struct Effect {
        at: Instant,
        process: u32,
        epoch: u64,
        intent: u64,
        taken: bool,
    }

    /// What the host saw, in order. It remembers the highest epoch and refuses lower ones.
    #[derive(Clone, Default)]
    struct Guard(Arc<Mutex<Vec<Effect>>>);

    impl Guard {
        fn serve(&self, listener: TcpListener) {
            let guard = self.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let guard = guard.clone();
                    std::thread::spawn(move || guard.hear(stream));
                }
            });
        }

        fn hear(&self, mut stream: TcpStream) {
            let mut line = String::new();
            if BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).is_err() {
                return;
            }
            let words: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [process, epoch, intent] = words[..] else { return };
            let taken = {
                let mut log = self.0.lock().unwrap();
                let highest = log.iter().map(|effect| effect.epoch).max().unwrap_or(0);
                let taken = epoch >= highest;
                let process = u32::try_from(process).unwrap();
                log.push(Effect { at: Instant::now(), process, epoch, intent, taken });
                taken
            };
            _ = stream.write_all(if taken { b"done\n" } else { b"fenced\n" });
        }

        fn last(&self) -> Option<(u32, u64)> {
            let log = self.0.lock().unwrap();
            log.iter().rev().find(|effect| effect.taken).map(|effect| (effect.process, effect.epoch))
        }

        /// The first effect of a later leader.
        fn after(&self, epoch: u64) -> Option<Instant> {
            let log = self.0.lock().unwrap();
            log.iter().find(|effect| effect.taken && effect.epoch > epoch).map(|effect| effect.at)
        }
    }

    fn start(at: usize, guard: &str, members: &Members) -> Child {
        let seen = members.dir.path().join(format!("manager{at}"));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--manager").arg::<&Path>(&seen).args(["--guard", guard, "--endpoints"]);
        command.arg(members.endpoints().join(",")).stdout(Stdio::null()).spawn().unwrap()
    }

    fn signal(process: u32, signal: &str) {
        assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
    }

    /// A moment of no pattern, so that blows fall anywhere within a renewal.
    fn pause(turn: usize) {
        std::thread::sleep(Duration::from_millis(1_500 + (turn as u64 * 7_919) % 2_000));
    }

    pub(super) fn run(kills: usize, freezes: usize, with_etcd: usize) {
        let mut members = Members::start(3);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let guard = Guard::default();
        guard.serve(listener);
        let mut managers: Vec<Child> = (0..3).map(|at| start(at, &address, &members)).collect();
        let begun = Instant::now();
        while guard.last().is_none() {
            assert!(begun.elapsed() < PATIENCE, "nobody leads");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        let kinds = [("kill", kills), ("freeze", freezes), ("kill, and etcd's leader", with_etcd)];
        let blows = kinds.iter().flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count));
        for (turn, kind) in blows.enumerate() {
            pause(turn);
            let (leader, epoch) = guard.last().unwrap();
            let at = managers.iter().position(|manager| manager.id() == leader).unwrap();
            let blow = Instant::now();
            let mut member = None;
            if kind == "freeze" {
                signal(leader, "-STOP");
            } else {
                managers[at].kill().unwrap();
                managers[at].wait().unwrap();
                if kind != "kill" {
                    member = members.leader();
                    member.into_iter().for_each(|member| members.kill(member));
                }
            }
            let next = loop {
                if let Some(next) = guard.after(epoch) {
                    break next;
                }
                assert!(blow.elapsed() < PATIENCE, "nobody takes over after a {kind}");
                std::thread::sleep(Duration::from_millis(5));
            };
            times.entry(kind).or_default().push(next - blow);
            if kind == "freeze" {
                std::thread::sleep((LEASE * 2).saturating_sub(blow.elapsed()));
                signal(leader, "-CONT");
            } else {
                managers[at] = start(at, &address, &members);
            }
            if let Some(member) = member {
                members.run(member);
                members.wait();
            }
        }
        for manager in &mut managers {
            _ = manager.kill();
            _ = manager.wait();
        }
        for (kind, times) in &mut times {
            times.sort();
            let at = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1].as_secs_f64();
            println!(
                "{kind}: {} times, p50 {:.2} s, p99 {:.2} s, longest {:.2} s",
                times.len(),
                at(50),
                at(99),
                at(100)
            );
        }
        judge(&guard);
    }

    fn judge(guard: &Guard) {
        let log = guard.0.lock().unwrap();
        let mut done: BTreeMap<u64, u32> = BTreeMap::new();
        let (mut highest, mut late) = (0, 0);
        for effect in log.iter().filter(|effect| effect.taken) {
            *done.entry(effect.intent).or_default() += 1;
            late += u32::from(effect.epoch < highest);
            highest = highest.max(effect.epoch);
        }
        let doubled = done.values().filter(|count| **count > 1).count();
        let fenced = log.iter().filter(|effect| !effect.taken).count();
        println!(
            "{} effects, {doubled} doubled, {late} of a late leader taken, {fenced} fenced by the guard",
            done.len()
        );
        if doubled + late as usize > 0 {
            std::process::exit(1);
        }
    }
}
