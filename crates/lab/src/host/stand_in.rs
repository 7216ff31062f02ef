//! The programs on a host's path that would need systemd: `systemctl` with its other names (`poweroff`, `reboot`,
//! `halt`, `shutdown`) and `systemd-inhibit --list`. They read like the real ones and ask the host's pid 1.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::init::{Answer, Order, ask};
use crate::error::{LabError, Result};
use crate::paths::IN_HOST;

/// `lab-internal stand-in NAME ARGS…`
pub(crate) fn stand_in_main(args: &[String]) -> Result<i32> {
    let Some((name, args)) = args.split_first() else {
        return Err(LabError::new("stand-in wants the name it was called by"));
    };
    let answer = match name.as_str() {
        "systemd-inhibit" => inhibitors(args),
        _ => match order(name, args) {
            Ok(order) => ask(&Path::new(IN_HOST).join("init.sock"), &order)?,
            Err(answer) => answer,
        },
    };
    // Who does not listen does not want to know.
    if !is_quiet(name, args) {
        let _ = std::io::stdout().write_all(answer.out.as_bytes());
    }
    let _ = std::io::stderr().write_all(answer.err.as_bytes());
    Ok(answer.code)
}

/// `systemctl --quiet` answers questions about units by its exit code alone; errors are told as ever.
fn is_quiet(name: &str, args: &[String]) -> bool {
    let asks = |a: &String| matches!(a.as_str(), "is-active" | "is-enabled" | "is-failed");
    name == "systemctl" && args.iter().any(asks) && args.iter().any(|a| a == "--quiet" || a == "-q")
}

fn order(name: &str, args: &[String]) -> Result<Order, Answer> {
    let words: Vec<&str> = args.iter().map(String::as_str).filter(|a| !a.starts_with('-')).collect();
    let flag = |f: &str| args.iter().any(|a| a == f);
    let units = || words.iter().skip(1).map(|w| (*w).to_owned()).collect::<Vec<_>>();
    match (name, words.first().copied()) {
        ("poweroff" | "halt", _) | ("systemctl", Some("poweroff" | "halt")) => Ok(Order::PowerOff),
        ("reboot", _) | ("systemctl", Some("reboot")) => Ok(Order::Reboot),
        ("shutdown", _) if flag("-r") => Ok(Order::Reboot),
        ("shutdown", _) if flag("-c") => Err(Answer::default()),
        ("shutdown", _) => Ok(Order::PowerOff),
        ("systemctl", Some("daemon-reload")) => Err(Answer::default()),
        ("systemctl", Some("suspend" | "hibernate")) => Err(Answer::fail(1, "a lab host cannot suspend\n")),
        ("systemctl", Some("is-system-running")) => {
            Err(Answer { out: "running\n".to_owned(), ..Answer::default() })
        }
        ("systemctl", Some(verb)) => Ok(Order::Unit { verb: verb.to_owned(), units: units() }),
        _ => Err(Answer::fail(1, format!("{name} (lab): nothing to do\n"))),
    }
}

fn inhibitors(args: &[String]) -> Answer {
    if !args.iter().any(|a| a == "--list") {
        return Answer::fail(1, "systemd-inhibit (lab): only --list\n");
    }
    let text = fs::read_to_string(Path::new(IN_HOST).join("inhibitors")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let legend = !args.iter().any(|a| a == "--no-legend");
    let mut out = String::new();
    if lines.is_empty() {
        if legend {
            out += "No inhibitors.\n";
        }
        return Answer { out, ..Answer::default() };
    }
    if legend {
        out += "WHO UID USER PID COMM WHAT WHY MODE\n";
    }
    for line in &lines {
        out += line;
        out.push('\n');
    }
    if legend {
        out += &format!("\n{} inhibitors listed.\n", lines.len());
    }
    Answer { out, ..Answer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        let mut parts = line.split(' ').map(str::to_owned);
        let name = parts.next().unwrap();
        match order(&name, &parts.collect::<Vec<_>>()) {
            Ok(order) => serde_json::to_string(&order).unwrap(),
            Err(answer) => format!("code {} {}{}", answer.code, answer.out, answer.err).trim().to_owned(),
        }
    }

    #[test]
    fn a_host_is_switched_off_by_every_usual_word() {
        for line in ["poweroff", "systemctl poweroff", "systemctl -i poweroff", "shutdown -h now", "halt -p"]
        {
            assert_eq!(words(line), r#""power-off""#, "{line}");
        }
        for line in ["reboot", "systemctl reboot", "shutdown -r now"] {
            assert_eq!(words(line), r#""reboot""#, "{line}");
        }
    }

    #[test]
    fn quiet_questions_are_answered_by_the_exit_code_alone() {
        let quiet = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            is_quiet("systemctl", &words)
        };
        assert!(quiet("--quiet is-active libvirtd.service") && quiet("is-enabled -q ssh"));
        assert!(!quiet("is-active libvirtd.service") && !quiet("--quiet show libvirtd.service"));
    }

    #[test]
    fn units_are_passed_on_without_their_options() {
        assert_eq!(
            words("systemctl --quiet stop libvirtd.service libvirtd.socket"),
            r#"{"unit":{"verb":"stop","units":["libvirtd.service","libvirtd.socket"]}}"#
        );
        assert_eq!(words("systemctl suspend"), "code 1 a lab host cannot suspend");
    }
}
