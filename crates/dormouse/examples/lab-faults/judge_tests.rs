//! Records in, broken rules out: what is planted must be found, and a good night must not be.

use super::judge;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";
/// The lab's clock stands at zero here.
const ZERO: u64 = 1_000_000;

fn cluster() -> Value {
    let text = format!(
        "cluster t\nhost h[1-3] cpus=2 mem=768M\nvm a@h1 vcpus=1 mem=96M uuid={A}\nvm b@h2 vcpus=1 mem=96M uuid={B}\n"
    );
    json!({ "cluster": text })
}

/// `SECOND KIND WORDS`, as short as a night can be told; each becomes the line that lab, store or a look would write.
fn line(story: &str) -> Value {
    let words: Vec<&str> = story.split_whitespace().collect();
    let number = |word: &str| word.parse::<u64>().expect("a number");
    let (seconds, tenths) = words[0].split_once('.').unwrap_or((words[0], "0"));
    let at = number(seconds) * 1000 + number(tenths) * 100;
    let wall = ZERO + at;
    let lab = |more: Value| {
        let mut event = json!({ "at_ms": at });
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "lab": event })
    };
    match words[1..] {
        ["up"] => lab(json!({ "ev": "up", "wall_ms": ZERO.to_string() })),
        ["boot", guest, host] => lab(json!({ "ev": "guest-boot", "guest": guest, "host": host })),
        ["heard", guest, from, to] => {
            lab(json!({ "ev": "guest-move", "guest": guest, "from": from, "host": to }))
        }
        ["twice", guest, one, two] => {
            lab(json!({ "ev": "double-run", "guest": guest, "host": one, "other": two }))
        }
        ["on", host] => lab(json!({ "ev": "boot", "host": host })),
        ["off", host, epoch, qemu] => {
            let (guard, qemu) = (format!("cluster {epoch}"), if qemu == "-" { "" } else { qemu });
            lab(json!({ "ev": "power-off", "host": host, "how": "poweroff", "guard": guard, "qemu": qemu }))
        }
        ["dies", host] => lab(json!({ "ev": "power-off", "host": host, "how": "cut" })),
        ["cut", host, held] => json!({ "cut": { "wall_ms": wall, "host": host, "held": [held] } }),
        ["leads", epoch] => {
            json!({ "audit": { "at_ms": wall, "what": "lead", "epoch": number(epoch), "who": "m" } })
        }
        ["intent", id, epoch, from, to] => json!({ "audit": { "at_ms": wall, "what": "intent", "intent": {
            "id": number(id), "epoch": number(epoch), "plan": 1, "step": 0, "action": "migrate", "from": from, "to": to,
            "vm": A, "deadline": 60_000, "written_ms": wall } } }),
        ["effect", id] => json!({ "audit": { "at_ms": wall, "what": "effect", "intent": number(id) } }),
        ["done", id] => json!({ "audit": { "at_ms": wall, "what": "outcome", "intent": number(id),
            "outcome": { "done": { "downtime": 200 } } } }),
        ["state", host, from, to] => {
            json!({ "trail": { "seq": 1, "at_ms": wall, "level": "info", "name": "host.state",
            "fields": [["host", host], ["from", from], ["to", to], ["cause", "seen"]] } })
        }
        // Guest: hosts with a process / hosts with a definition, for both guests.
        ["rest", a, b] => {
            let split = |word: &str| {
                let (runs, holds) = word.split_once('/').expect("a slash");
                let list =
                    |text: &str| text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
                let (runs, holds): (Vec<String>, Vec<String>) = (list(runs), list(holds));
                (runs, holds)
            };
            let (a, b) = (split(a), split(b));
            let held = |host: &str| {
                let has = |(_, holds): &(Vec<String>, Vec<String>)| holds.iter().any(|held| held == host);
                [(A, has(&a)), (B, has(&b))]
                    .into_iter()
                    .filter_map(|(uuid, has)| has.then_some(uuid))
                    .collect::<Vec<_>>()
            };
            json!({ "rest": { "wall_ms": wall,
                "guests": [{ "uuid": A, "processes": a.0 }, { "uuid": B, "processes": b.0 }],
                "defined": { "h1": held("h1"), "h2": held("h2"), "h3": held("h3") } } })
        }
        _ => panic!("no such story: {story}"),
    }
}

/// A good night (a move from h1 to h2, h1 goes off and comes back), with these lines put in, or in place of the line that
/// begins with the same two words; `without 14 done` leaves that one out.
fn night(planted: &[&str]) -> String {
    let mut story: Vec<&str> = vec![
        "0 up",
        "1 on h1",
        "1 on h2",
        "1 on h3",
        "2 boot a h1",
        "2 boot b h2",
        "3 leads 1",
        "4 state h1 unknown on",
        "10 intent 1 1 h1 h2",
        "10 effect 1",
        "13 heard a h1 h2",
        "14 done 1",
        "15 rest h2/h2 h2/h2",
        "16 state h1 on draining",
        "18 state h1 draining stopping",
        "19 off h1 1 -",
        "23 state h1 stopping asleep",
        "30 on h1",
        "40 rest h2/h2 h2/h2",
    ];
    for plant in planted {
        let key = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
        let (left_out, added) = plant.strip_prefix("without ").map_or((*plant, true), |line| (line, false));
        story.retain(|line| key(line) != key(left_out));
        story.extend(added.then_some(*plant));
    }
    let lines = story.into_iter().map(|story| format!("{}\n", line(story)));
    format!("{}\n", cluster()) + &lines.collect::<String>()
}

fn found(planted: &[&str], expected: Expect) {
    expected.assert_eq(&judge(&night(planted)).expect("reads").violations.join("\n"));
}

#[test]
fn a_good_night_breaks_no_rule() {
    found(&[], expect![""]);
}

#[test]
fn a_heartbeat_from_two_hosts_is_found() {
    found(&["20 twice a h2 h3"], expect!["I2 at +00019.000: a runs 2 times"]);
}

#[test]
fn an_off_with_a_guest_inside_is_found() {
    found(
        &["19 off h2 1 -"],
        expect![[r#"
        I1 at +00018.000: h2 was switched off with a, b
        I1 at +00018.000: a went down with h2, by our word
        I1 at +00018.000: b went down with h2, by our word
        I6 at +00022.000: h1 was called down without proof"#]],
    );
    // The lab's last look tells of a process that nobody heard.
    found(
        &[&format!("19 off h1 1 {B}")],
        expect![[r#"
        I1 at +00018.000: h1 was switched off with b
        I1 at +00018.000: b went down with h1, by our word"#]],
    );
}

#[test]
fn an_old_epoch_at_a_guard_is_found() {
    let led_by_two =
        ["3 leads 2", "without 10 intent", "9 intent 1 2 h1 h2", "19 off h1 2 -", "39 off h1 1 -"];
    found(&led_by_two, expect!["I4 at +00038.000: the guard of h1 took the old e1"]);
}

#[test]
fn an_effect_in_the_name_of_an_old_leader_is_found() {
    found(&["9 leads 2"], expect!["I4 at +00009.000: i1 went out with epoch e1, not e2"]);
}

#[test]
fn an_intent_without_an_end_is_found() {
    found(&["without 14 done"], expect!["I16 at +31536039.000: i1 never got an outcome"]);
    found(&["16 intent 2 1 h2 h1"], expect!["I16 at +31536039.000: i2 never got an outcome"]);
}

#[test]
fn an_effect_without_an_intent_and_one_that_comes_twice_are_found() {
    found(
        &["20 effect 1"],
        expect![[r#"
        I16 at +00019.000: i1 was carried out twice
        I16 at +00019.000: i1 was carried out after its outcome"#]],
    );
    found(
        &["20 effect 7"],
        expect!["I15 at +00019.000: i7 was carried out, and nobody wrote that it would be"],
    );
    found(&["20 done 7"], expect!["I16 at +00019.000: i7 has an outcome and no intent"]);
}

#[test]
fn a_move_called_done_that_did_not_arrive_is_found() {
    found(
        &["13 heard b h2 h3", "15 rest h1/h1 h3/h3"],
        expect![[r#"
        I22 at +00013.000: the move of a to h2 was called done
        I22 at +00013.000: move i1 was called done before both ends were seen
        I1 at +00018.000: h1 was switched off with a
        I1 at +00018.000: a went down with h1, by our word"#]],
    );
}

#[test]
fn a_definition_that_is_gone_is_found() {
    found(&["40 rest h2/ h2/h2"], expect!["I23 at +00039.000: a is on no disk any more"]);
}

#[test]
fn a_guest_that_is_gone_is_found_unless_its_host_lost_its_power() {
    found(
        &["40 rest /h2 h2/h2"],
        expect!["lost at +00039.000: a runs nowhere, and no host went down with it"],
    );
    found(&["32 dies h2", "33 on h2", "40 rest /h2 /h2"], expect![""]);
    // It was in the middle of its move, and both ends may take it with them.
    found(&[&format!("35 cut h3 {A}"), "36 dies h3", "40 rest /h2 h2/h2"], expect![""]);
}

#[test]
fn two_processes_at_rest_are_found() {
    found(&["40 rest h2,h3/h2 h2/h2"], expect!["I22 at +00039.000: a has processes on h2 and h3 at rest"]);
}

#[test]
fn a_host_called_asleep_without_proof_is_found() {
    found(&["without 19 off", "19 dies h1"], expect!["I6 at +00022.000: h1 was called down without proof"]);
}

#[test]
fn a_state_that_no_edge_leads_to_is_found() {
    found(
        &["18 state h1 draining asleep", "without 23 state"],
        expect![[r#"
        I6 at +00017.000: h1 was called down without proof
        I13 at +00017.000: h1 went from draining to asleep"#]],
    );
    found(
        &["16 state h1 unusable draining"],
        expect![[r#"
        I13 at +00015.000: h1 went from unusable to draining
        I13 at +00015.000: h1 left unusable, where it was not"#]],
    );
}

#[test]
fn a_guest_that_begins_anew_by_itself_is_counted() {
    let count = |planted: &[&str]| judge(&night(planted)).expect("reads").booted_anew;
    assert_eq!((count(&[]), count(&["25 boot a h2"])), (0, 1));
    assert_eq!(count(&["32 dies h2", "33 on h2", "36 boot a h2", "37 boot b h2"]), 0);
    // It went down in the middle of its move.
    assert_eq!(count(&[&format!("32 cut h1 {A}"), "33 dies h1", "36 boot a h2"]), 0);
}

/// Two things that look like a broken rule and are none.
#[test]
fn what_a_heartbeat_could_not_tell_in_time_is_no_broken_rule() {
    // Heard late: after the outcome.
    found(&["without 13 heard", "14.5 heard a h1 h2"], expect![""]);
    // Never heard: its new host lost its power as it arrived.
    let cut = format!("14 cut h2 {A}");
    let died = ["without 13 heard", &cut, "15 dies h2", "16 on h2", "without 15 rest", "17 rest /h2 /h2"];
    found(&died, expect![""]);
}
