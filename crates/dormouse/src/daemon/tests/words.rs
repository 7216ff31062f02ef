//! An operator's word is acknowledged when the store has it, and not before.

use super::*;

const HOSTS: [(&str, usize); 4] = [("a", 1), ("b", 1), ("c", 0), ("d", 0)];

/// Who said what, by the audit log.
fn words(store: &SqliteStore, runtime: &Runtime) -> Vec<Value> {
    let lines = runtime.block_on(store.audit(0, usize::MAX)).expect("read");
    let entry = |line: &AuditLine| serde_json::from_str::<AuditEntry>(&line.entry).expect("ours");
    let word = |entry| if let AuditEntry::Word { order, .. } = entry { Some(order) } else { None };
    lines.iter().map(entry).filter_map(word).collect()
}

#[test]
fn a_word_that_was_acknowledged_is_in_the_log_and_in_force_after_a_kill() {
    let machine = Machine::new(Automation::Observe, &HOSTS);
    for round in 1..=5 {
        let daemon = machine.start();
        let said = if round % 2 == 1 { OrderWord::Pause { for_ms: None } } else { OrderWord::Resume };
        daemon.order(said).expect("taken");
        let store = daemon.store.clone();
        // As by a kill -9: nothing is written any more.
        drop(daemon);
        let runtime = Runtime::new().expect("a runtime");
        assert_eq!(words(&store, &runtime).len(), round);
        let kept = runtime.block_on(store.load()).expect("whole").settings;
        assert_eq!(kept.iter().any(|(key, _)| key == "pause"), round % 2 == 1);
    }
}

#[test]
fn while_the_store_hangs_an_order_is_in_force_and_not_acknowledged() {
    let machine = Machine::new(Automation::Observe, &HOSTS);
    let daemon = machine.start();
    machine.hangs.send_replace(true);
    let socket = daemon.socket.clone();
    let order = std::thread::spawn(move || {
        let mut client = Client::to(&socket).expect("a daemon");
        client.order(OrderWord::Pause { for_ms: None }).map_err(|failure| failure.exit())
    });
    daemon.until("the loop goes on, paused", |daemon| daemon.status().paused);
    let store = daemon.store.clone();
    drop(daemon);
    assert_eq!(order.join().expect("no panic"), Err(Exit::Unreachable), "nobody was told that it is kept");
    assert_eq!(words(&store, &Runtime::new().expect("a runtime")), Vec::<Value>::new());
}

#[test]
fn on_a_full_disk_an_order_is_in_force_and_says_that_it_is_not_written() {
    let machine = Machine::new(Automation::Observe, &HOSTS);
    let daemon = machine.start();
    machine.full.store(true, Ordering::SeqCst);
    let (exit, why) = daemon.order(OrderWord::Pause { for_ms: None }).expect_err("not written");
    assert_eq!(exit, Exit::Failed);
    let expected =
        "`pause` is in force and not written down: the store did not take it: database or disk is full";
    assert!(why.starts_with(expected), "{why}");
    assert!(why.contains("see `dormouse status`, then say it again"), "{why}");
    assert!(daemon.status().paused);
    // Not even asked: whether the word for it would be kept is not known.
    let (exit, why) = daemon.order(OrderWord::Adopt { host: "d".to_owned() }).expect_err("not written");
    assert_eq!(exit, Exit::Failed);
    assert!(why.starts_with("d was not taken over, because the word for it is not written down: "), "{why}");
    assert!(machine.world.calls("adopt").is_empty());

    machine.full.store(false, Ordering::SeqCst);
    daemon.order(OrderWord::Resume).expect("there is room");
    let said: Vec<_> =
        words(&daemon.store, daemon.runtime()).iter().map(|word| word["order"].clone()).collect();
    assert_eq!(said, ["pause", "adopt", "resume"], "what waited was written, in order");
    daemon.order(OrderWord::Adopt { host: "d".to_owned() }).expect("taken over");
    assert_eq!(machine.world.calls("adopt"), ["adopt d"]);
}

#[test]
fn the_calendar_in_use_is_told_and_the_plan_of_another_time() {
    let cluster = CLUSTER.replace("policy", "window open Mon-Sun 09:00-18:00 up-by=-30m\npolicy");
    let daemon = Machine::of(World::new(&HOSTS), cluster, settings(Automation::Observe));
    let daemon = daemon.start();
    let view: CalendarView = daemon.ask(&Verb::Calendar);
    assert!(view.text.contains("window open Mon-Sun 09:00-18:00 goal=spread up-by=-30m\n"), "{}", view.text);
    assert!(!view.text.contains("host "), "{}", view.text);
    let at = |hour: i64| {
        let day = view.now_ms - view.now_ms.rem_euclid(86_400_000) + 2 * 86_400_000;
        daemon.ask::<PlanView>(&Verb::Plan { at_ms: Some(day + hour * 3_600_000) })
    };
    assert_eq!(at(12).plan["goal"], "spread");
    assert_eq!(at(8).plan["goal"], "compact");
    let text = at(8).text;
    assert!(text.starts_with("As of ") && text.contains(" 08:00 UTC: no window is in force then."), "{text}");
}

#[test]
fn a_reload_that_was_asked_for_is_in_the_log_and_reaches_whoever_runs_the_loop() {
    let machine = Machine::new(Automation::Observe, &HOSTS);
    let daemon = machine.start();
    assert_eq!(daemon.order(OrderWord::Reload).expect("taken").order, "reload");
    let asked = async { tokio::time::timeout(PATIENCE, daemon.handle.reload_asked()).await };
    daemon.runtime.as_ref().expect("runs").block_on(asked).expect("it is asked for");
    let store = daemon.store.clone();
    drop(daemon);
    assert_eq!(words(&store, &Runtime::new().expect("a runtime")).len(), 1);
}
