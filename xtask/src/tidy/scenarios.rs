//! Rules on scenario folders: a scenario that is not whole tests nothing.

use super::Finding;
use std::collections::BTreeMap;

/// What each scenario folder holds, and what for.
const PARTS: [(&str, &str); 4] = [
    ("README.md", "say why it exists and what to expect"),
    ("cluster", "write the hosts and VMs it plays with"),
    ("script", "write what happens"),
    ("expect.log", "run `make bless`, and read what it wrote"),
];

pub(super) fn check<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in paths {
        if let Some((folder, file)) = path.strip_prefix("scenarios/").and_then(|rest| rest.split_once('/')) {
            folders.entry(folder).or_default().push(file);
        }
    }
    let mut findings = Vec::new();
    for (folder, files) in folders {
        for (part, instead) in PARTS.iter().filter(|(part, _)| !files.contains(part)) {
            findings.push(Finding {
                path: format!("scenarios/{folder}"),
                line: 0,
                what: format!("no {part}"),
                instead: (*instead).to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_lacks_what_it_lacks() {
        let whole = PARTS.map(|(part, _)| format!("scenarios/night/{part}"));
        let half = ["scenarios/half/cluster", "scenarios/half/script", "scenarios/half/README.md"];
        let found = check(whole.iter().map(String::as_str).chain(half).chain(["scenarios/README.md"]));
        let said: Vec<String> = found.iter().map(|one| format!("{}: {}", one.path, one.what)).collect();
        assert_eq!(said, ["scenarios/half: no expect.log"]);
    }
}
