//! Lines of the event log in words for a person. What has no words of its own is shown as it is.

use super::frame::Line;
use crate::cli::safe;

/// The words for one line of the log, `t=+TIME ev=NAME key=value …`; `None` for what a screen need not tell.
pub(super) fn words(line: &str, clock: String) -> Option<Line> {
    let rest = line.split_once(" ev=").map_or(line, |(_, rest)| rest);
    let (name, fields) = rest.split_once(' ').unwrap_or((rest, ""));
    let field = |key: &str| field(fields, key).unwrap_or("?");
    let mut grave = false;
    let words = match name {
        "host.state" => {
            let (host, to) = (field("host"), field("to"));
            grave = matches!(to, "set-aside" | "unknown" | "unusable");
            match to {
                "draining" | "stopping" => return None,
                "asleep" => format!("{host} fell asleep"),
                "waking" => format!("{host} is waking"),
                "on" => format!("{host} is on ({})", field("cause")),
                _ => format!("{host} is {to} ({})", field("cause")),
            }
        }
        "step.end" if field("outcome") == "done" => match field("kind") {
            "migrate" => format!("{} moved {} -> {}", field("vm"), field("from"), field("to")),
            _ => return None,
        },
        "step.end" => {
            grave = true;
            let what = if field("kind") == "migrate" { field("vm") } else { field("host") };
            format!("{} {what}: {}", field("kind"), field("outcome"))
        }
        "goal" => format!("goal: {}", field("goal")),
        "plan.made" => format!(
            "plan: {} moves, {} wakes, {} sleeps; {} hosts on -> {}, no fewer than {}",
            field("moves"),
            field("wakes"),
            field("sleeps"),
            field("on"),
            field("then"),
            field("bound")
        ),
        "script" => format!("you: {}", field("do")),
        "step.start" | "plan.over" | "plan.dropped" | "leads" | "host.rebooted" => return None,
        "world.power" => {
            grave = true;
            format!("{}: {} ({})", field("host"), field("to"), field("cause"))
        }
        "world.lost" => {
            grave = true;
            format!("{} was lost with {}", field("vm"), field("host"))
        }
        _ => format!("{name} {fields}"),
    };
    Some(Line { clock, words: safe(&words).into_owned(), grave })
}

/// The value of `key=value` or `key="value"`.
fn field<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = fields;
    loop {
        let (name, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            // Quotes inside are escaped by the writer.
            Some(quoted) => {
                let end = quoted.match_indices('"').find(|(at, _)| !quoted[..*at].ends_with('\\'))?.0;
                (&quoted[..end], quoted[end + 1..].trim_start())
            }
            None => value.split_once(' ').unwrap_or((value, "")),
        };
        if name == key {
            return Some(value);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_log_in_words() {
        let log = r#"
t=+00900.000 ev=goal goal=compact horizon=12h45m
t=+00901.000 ev=plan.made plan=2 policy=balanced goal=compact moves=53 wakes=0 sleeps=53 on=62 then=9 bound=9
t=+00902.000 ev=step.start kind=migrate intent=1 plan=2 step=0 epoch=1 vm=pc09 from=lab09 to=lab01
t=+00906.250 ev=step.end kind=migrate intent=1 plan=2 step=0 epoch=1 vm=pc09 from=lab09 to=lab01 took=4250 outcome=done
t=+00906.250 ev=step.end kind=wake intent=9 plan=2 step=0 epoch=1 host=lab09 took=600000 outcome=failed why="no answer = late"
t=+00930.000 ev=host.state host=lab09 from=stopping to=asleep cause=guard-and-silence obs=7 epoch=1
t=+00931.000 ev=host.state host=lab10 from=on to=unknown cause=probe.timeout obs=8 epoch=1
t=+00932.000 ev=script do="load pc* \"0.5\"" x=y
t=+00933.000 ev=freeze unseen=30 of=62 limit=18
"#;
        let shown: String = log
            .lines()
            .filter_map(|line| words(line, String::new()))
            .filter(|line| !line.words.trim().is_empty())
            .map(|line| format!("{}{}\n", if line.grave { "! " } else { "" }, line.words))
            .collect();
        expect![[r#"
            goal: compact
            plan: 53 moves, 0 wakes, 53 sleeps; 62 hosts on -> 9, no fewer than 9
            pc09 moved lab09 -> lab01
            ! wake lab09: failed
            lab09 fell asleep
            ! lab10 is unknown (probe.timeout)
            you: load pc* \"0.5\"
            freeze unseen=30 of=62 limit=18
        "#]]
        .assert_eq(&shown);
    }
}
