//! A failed case made small: fewer lines, hosts and VMs, a shorter run, and still the same rule broken.

use super::{Case, Verdict};

/// Plays that a cut may cost; a person waits for it.
const PLAYS_MAX: u32 = 600;

/// The smallest case found that breaks the rule which this one breaks first, and what comes of it.
#[must_use]
pub fn shrink(case: &Case, verdict: &Verdict) -> (Case, Verdict) {
    let Some(first) = verdict.violations.first() else { return (case.clone(), verdict.clone()) };
    let mut shrinker =
        Shrinker { rule: first.invariant.clone(), best: (case.clone(), verdict.clone()), plays: PLAYS_MAX };
    shrinker.end_early();
    // What is left out makes more room for leaving out.
    loop {
        let before = shrinker.size();
        shrinker.drop_lines();
        shrinker.drop_names();
        shrinker.drop_extras();
        if shrinker.size() == before || shrinker.plays == 0 {
            break;
        }
    }
    shrinker.end_early();
    shrinker.best
}

struct Shrinker {
    rule: String,
    best: (Case, Verdict),
    plays: u32,
}

impl Shrinker {
    fn size(&self) -> usize {
        let (case, _) = &self.best;
        case.cluster.iter().chain(&case.script).map(String::len).sum()
    }

    /// Takes the candidate when it still breaks the rule.
    fn try_out(&mut self, candidate: Case) -> bool {
        if self.plays == 0 {
            return false;
        }
        self.plays -= 1;
        let Ok(verdict) = candidate.play() else { return false };
        let fails = verdict.violations.iter().any(|violation| violation.invariant == self.rule);
        if fails {
            self.best = (candidate, verdict);
        }
        fails
    }

    /// The run ends a little after the rule was broken.
    fn end_early(&mut self) {
        let (case, verdict) = &self.best;
        let broken = verdict.violations.iter().find(|violation| violation.invariant == self.rule);
        let Some(at) = broken.map(|violation| violation.at).filter(|at| at.0 > 0) else { return };
        let end = at.0.div_ceil(1000) + 1;
        let mut candidate = case.clone();
        candidate.script.pop();
        candidate.script.retain(|line| seconds(line).is_none_or(|at| at <= end));
        candidate.script.push(format!("run until +{end} seed={}", case.seed));
        self.try_out(candidate);
    }

    /// Delta debugging over the script: halves, quarters, ..., single lines.
    fn drop_lines(&mut self) {
        let mut chunk = self.best.0.script.len() / 2;
        while chunk >= 1 {
            let mut start = 0;
            while start + 1 < self.best.0.script.len() {
                let mut candidate = self.best.0.clone();
                let end = (start + chunk).min(candidate.script.len() - 1);
                candidate.script.drain(start..end);
                if !self.try_out(candidate) {
                    start += chunk;
                }
            }
            chunk /= 2;
        }
    }

    /// Whole hosts and VMs, with every line that speaks of them.
    fn drop_names(&mut self) {
        let names: Vec<String> = self.best.0.cluster.iter().filter_map(|line| named(line)).collect();
        for name in names.iter().rev() {
            let mut candidate = self.best.0.clone();
            let speaks =
                |line: &String| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name);
            candidate.cluster.retain(|line| !speaks(line));
            candidate.script.retain(|line| !speaks(line));
            self.try_out(candidate);
        }
    }

    /// Words of the cluster text that may be left out, from the end of each line, and lines of other kinds.
    fn drop_extras(&mut self) {
        for at in (0..self.best.0.cluster.len()).rev() {
            if named(&self.best.0.cluster[at]).is_none() {
                let mut candidate = self.best.0.clone();
                candidate.cluster.remove(at);
                if self.try_out(candidate) {
                    continue;
                }
            }
            let words = self.best.0.cluster[at].split(' ').count();
            for word in (2..words).rev() {
                let mut candidate = self.best.0.clone();
                let mut kept: Vec<&str> = self.best.0.cluster[at].split(' ').collect();
                kept.remove(word);
                candidate.cluster[at] = kept.join(" ");
                self.try_out(candidate);
            }
        }
    }
}

/// The host or VM that a line of the cluster text brings in.
fn named(line: &str) -> Option<String> {
    let mut words = line.split([' ', '@']);
    matches!(words.next(), Some("host" | "vm")).then(|| words.next().unwrap_or_default().to_owned())
}

/// When a script line happens.
fn seconds(line: &str) -> Option<u64> {
    line.strip_prefix("at +")?.split(' ').next()?.parse().ok()
}
