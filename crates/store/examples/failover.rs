//! How long nobody leads when a leader dies or freezes, and whether anything is ever done twice: three members of an etcd,
//! three managers (processes of their own), and a pretend host whose guard keeps the highest epoch, as the real one does.
//!
//! `failover --kills N --freezes N [--etcd N] [--history N]`: so many leaders are killed, so many stopped past twice their
//! lease and let go on, and so many killed together with etcd's own leader; before the first, so many intents were written
//! and closed. Prints the time from each blow to the first effect of another leader, how much of it passed before that
//! leader had the lead and how much after, and what the guard's log says of all effects.
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
        None => {
            let history = u64::try_from(count("--history", 0)).unwrap();
            blows::run(count("--kills", 100), count("--freezes", 100), count("--etcd", 0), history);
        }
    }
}

fn settings(endpoints: Vec<String>, seen: std::path::PathBuf) -> dormouse_store::EtcdSettings {
    dormouse_store::EtcdSettings { endpoints, prefix: "/failover".to_owned(), ca: None, identity: None, seen }
}

/// One manager: leads when it can, and while it leads does one thing after another, each with its intent and outcome.
mod manager {
    use dormouse_driver::{ActionRecord, IntentRecord, Lease, Store};
    use dormouse_model::{IntentId, Millis, Outcome, OutcomeError, PlanId, StepId};
    use dormouse_store::{EtcdLease, EtcdStore};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    const MARGIN: Duration = Duration::from_secs(2);

    pub(super) fn run(name: &str, guard: &str, endpoints: &str) {
        let endpoints = endpoints.split(',').map(str::to_owned).collect();
        let settings = super::settings(endpoints, PathBuf::from(name));
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
                    _ = tell(guard, term.epoch.0, LEADS);
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
        let Ok(kept) = store.load().await else {
            // As the daemon does: another may have more luck.
            keeper.abort();
            _ = lease.resign(epoch).await;
            return;
        };
        // Beside the work, as the daemon does: a load for the etcd.
        let behind = store.clone();
        let verifier = tokio::spawn(async move { behind.verify().await });
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
            let outcome = if tell(guard, epoch.0, id) {
                Outcome::Done { downtime: None }
            } else {
                Outcome::Failed(OutcomeError::Fenced)
            };
            _ = store.close(IntentId(id), &outcome).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        keeper.abort();
        verifier.abort();
        if let Ok(Err(dormouse_driver::StoreError::Damaged(why))) = verifier.await {
            panic!("{why}");
        }
    }

    /// In the place of an intent: the lead was taken, and nothing done yet.
    pub(super) const LEADS: u64 = 0;

    /// The off command on the pretend host: its guard takes it, or refuses the epoch.
    fn tell(guard: &str, epoch: u64, intent: u64) -> bool {
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
    use super::manager::LEADS;
    use dormouse_driver::{ActionRecord, AuditEntry, IntentRecord};
    use dormouse_members::Members;
    use dormouse_model::{Epoch, IntentId, Millis, Outcome, PlanId, StepId};
    use dormouse_store::{Dump, EtcdStore};
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
    struct Guard {
        effects: Arc<Mutex<Vec<Effect>>>,
        /// When each epoch was won.
        leads: Arc<Mutex<BTreeMap<u64, Instant>>>,
    }

    /// From a blow on: until the lead was taken, and from then until the first effect.
    struct Took {
        lead: Duration,
        begin: Duration,
    }

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
            if intent == LEADS {
                self.leads.lock().unwrap().insert(epoch, Instant::now());
                return;
            }
            let taken = {
                let mut log = self.effects.lock().unwrap();
                let highest = log.iter().map(|effect| effect.epoch).max().unwrap_or(0);
                let taken = epoch >= highest;
                let process = u32::try_from(process).unwrap();
                log.push(Effect { at: Instant::now(), process, epoch, intent, taken });
                taken
            };
            _ = stream.write_all(if taken { b"done\n" } else { b"fenced\n" });
        }

        fn last(&self) -> Option<(u32, u64)> {
            let log = self.effects.lock().unwrap();
            log.iter().rev().find(|effect| effect.taken).map(|effect| (effect.process, effect.epoch))
        }

        /// The first effect of a later leader.
        fn after(&self, epoch: u64, blow: Instant) -> Option<Took> {
            let log = self.effects.lock().unwrap();
            let first = log.iter().find(|effect| effect.taken && effect.epoch > epoch)?;
            let lead = *self.leads.lock().unwrap().get(&first.epoch)?;
            Some(Took { lead: lead - blow, begin: first.at - lead })
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

    /// A store with so many intents that were written and closed.
    fn fill(members: &Members, history: u64) {
        let mut dump = Dump::empty(uuid::Uuid::from_u128(7), 0);
        for id in (1..=history).map(IntentId) {
            let action = ActionRecord::Sleep { host: "h".to_owned() };
            let (epoch, plan, step, deadline) = (Epoch(0), PlanId(1), StepId(0), Millis::from_secs(1));
            let intent = IntentRecord { id, epoch, plan, step, action, vm: None, deadline, written_ms: 0 };
            let outcome = Outcome::Done { downtime: None };
            dump.note(&AuditEntry::Intent { intent: intent.clone() });
            dump.note(&AuditEntry::Outcome { intent: id, outcome: outcome.clone() });
            dump.intents.push(intent);
            dump.outcomes.push((id, outcome));
        }
        let settings = super::settings(members.endpoints(), members.dir.path().join("filler"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(EtcdStore::replace(&settings, &dump)).unwrap();
    }

    pub(super) fn run(kills: usize, freezes: usize, with_etcd: usize, history: u64) {
        let mut members = Members::start(3);
        if history > 0 {
            fill(&members, history);
        }
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
        let mut times: BTreeMap<&str, Vec<Took>> = BTreeMap::new();
        // Of etcd itself, which gives every lease its whole time again.
        let mut elections: BTreeMap<&str, u32> = BTreeMap::new();
        let kinds = [("kill", kills), ("freeze", freezes), ("kill, and etcd's leader", with_etcd)];
        let blows = kinds.iter().flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count));
        for (turn, kind) in blows.enumerate() {
            pause(turn);
            let (leader, epoch) = guard.last().unwrap();
            let at = managers.iter().position(|manager| manager.id() == leader).unwrap();
            let before = members.elections();
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
            let took = loop {
                if let Some(took) = guard.after(epoch, blow) {
                    break took;
                }
                assert!(blow.elapsed() < PATIENCE, "nobody takes over after a {kind}");
                std::thread::sleep(Duration::from_millis(5));
            };
            let elected = before.iter().zip(members.elections()).any(|(before, now)| now > before.or(now));
            *elections.entry(kind).or_default() += u32::from(elected);
            let slow = took.lead + took.begin > LEASE * 3 / 2;
            if slow || elected {
                let (lead, begin) = (took.lead.as_secs_f64(), took.begin.as_secs_f64());
                let etcd = if elected { "; etcd changed its leader" } else { "" };
                println!("blow {turn}, {kind}: {lead:.2} s and {begin:.2} s{etcd}");
            }
            times.entry(kind).or_default().push(took);
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
        for (kind, took) in &times {
            println!("{kind}: {} times, {}", took.len(), shares(took, |took| took.lead + took.begin));
            println!("  until the lead was taken: {}", shares(took, |took| took.lead));
            println!("  from then to the first effect: {}", shares(took, |took| took.begin));
            println!("  etcd itself changed its leader in {} of them", elections[kind]);
        }
        judge(&guard);
    }

    fn shares(took: &[Took], part: impl Fn(&Took) -> Duration) -> String {
        let mut times: Vec<Duration> = took.iter().map(part).collect();
        times.sort();
        let at = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1].as_secs_f64();
        format!("p50 {:.2} s, p99 {:.2} s, longest {:.2} s", at(50), at(99), at(100))
    }

    fn judge(guard: &Guard) {
        let log = guard.effects.lock().unwrap();
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
