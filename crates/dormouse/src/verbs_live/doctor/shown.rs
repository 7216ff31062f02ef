//! The report for people: hosts that say the same share a line, what is wrong comes last, where the eye is.

use super::finding::{Finding, Place, Verdict};
use crate::cli::{Table, counted, fold, safe, style};
use std::fmt::Write as _;

pub(super) fn text(findings: &[Finding]) -> String {
    let groups = groups(findings);
    let mut table = Table::new(&["", "check", "where", "what was found"]);
    for group in &groups {
        let hosts = fold(group.iter().map(|finding| finding.host.as_str()));
        let first = group[0];
        table.row([first.verdict.as_str(), first.check, &hosts, &first.reason]);
    }
    let table = table.to_string();
    let mut lines = table.lines();
    let mut out = String::new();
    if let Some(head) = lines.next() {
        _ = writeln!(out, "{head}");
    }
    for (line, group) in lines.zip(&groups) {
        let word = group[0].verdict.as_str();
        let colour = match group[0].verdict {
            Verdict::Ok => style::GOOD,
            Verdict::Warn => style::HINT,
            Verdict::Fail => style::ERROR,
        };
        _ = writeln!(out, "{}", line.replacen(word, &format!("{colour}{word}{colour:#}"), 1));
        if let (Some(mend), Some(place)) = (&group[0].mend, group[0].mend_on) {
            let place = if place == Place::Host { "there" } else { "here" };
            _ = writeln!(out, "        {place}: {}", safe(mend));
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (fail, warn) = (count(Verdict::Fail), count(Verdict::Warn));
    _ = writeln!(out, "\n{}: {fail} fail, {warn} warn", counted(findings.len(), "check"));
    out
}

/// The same finding on several hosts; by verdict, then in the order of the checks.
fn groups(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut groups: Vec<Vec<&Finding>> = vec![];
    for finding in findings {
        let same = |group: &&mut Vec<&Finding>| {
            Finding { host: finding.host.clone(), ..group[0].clone() } == *finding
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    let order: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
    let place = |check: &str| order.iter().position(|other| *other == check);
    groups.sort_by_key(|group| (group[0].verdict, place(group[0].check)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn hosts_that_say_the_same_share_a_line_and_nothing_steers_the_terminal() {
        let mut findings = vec![];
        for host in ["lab01", "lab02", "lab03"] {
            findings.push(Finding::ok("ssh", "answers as root").about(host));
            let locks = Finding::warn("disk locks", "libvirt locks no disks").mend("systemctl x");
            findings.push(locks.about(host));
        }
        findings.push(Finding::fail("libvirt", "it says \u{1b}[2J").mend_here("true").about("lab02"));
        let plain = anstream::adapter::strip_str(&text(&findings)).to_string();
        expect![[r"
                    check       where        what was found
              ok    ssh         lab01-lab03  answers as root
              warn  disk locks  lab01-lab03  libvirt locks no disks
                    there: systemctl x
              fail  libvirt     lab02        it says \u{1b}[2J
                    here: true

            7 checks: 1 fail, 3 warn
        "]]
        .assert_eq(&plain);
    }
}
