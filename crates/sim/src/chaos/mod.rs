//! Fault simulation: clusters and troubles drawn from a seed, played by the daemon's own control, judged by the invariants.
//!
//! A case is text, a cluster and a script as people write them: what a seed draws can be read, cut down and kept as a
//! scenario. First anything may break; then everything is healed, and within 15 simulated minutes nothing may be left half
//! done (I28). The same seed gives the same case and the same bytes on every machine (I27).
//!
//! Absent: any rule of its own. What is right is said by the invariants alone.

mod campaign;
mod cluster;
mod dice;
mod shrink;
mod storm;

pub use campaign::{Campaign, Progress, Summary};
pub use shrink::shrink;

use dice::Dice;
use dormouse_model::Mono;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::invariants::Violation;
use crate::run::{Options, Sim};
use crate::scenario::{Scenario, ScenarioError, parse_cluster};
use crate::script::Script;

/// What one seed draws, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub seed: u64,
    /// The cluster text, line by line.
    pub cluster: Vec<String>,
    /// The script, line by line; the last one is `run until`.
    pub script: Vec<String>,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    /// How much cluster time was simulated.
    pub simulated: Mono,
    pub log: String,
}

impl Verdict {
    /// Something is wrong that no checker sees.
    fn broken(rule: &str, text: String) -> Self {
        let violation = Violation { invariant: rule.to_owned(), at: Mono::ZERO, text };
        Self { violations: vec![violation], simulated: Mono::ZERO, log: String::new() }
    }

    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }
}

impl Case {
    /// The case of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        Self::drawn(seed, false)
    }

    /// The case of a seed in which rarer troubles are drawn, too: dead hosts with a person's word about them while others
    /// are silent, hosts that do not reach each other, lies, refused credentials, hostile names.
    #[must_use]
    pub fn draw_rare(seed: u64) -> Self {
        Self::drawn(seed, true)
    }

    fn drawn(seed: u64, rare: bool) -> Self {
        let mut dice = Dice::new(seed);
        let storm_s = dice.between(30, 100) * 60;
        // Fifteen minutes to converge, and a while in which it must hold.
        let calm_s = dice.between(35, 60) * 60;
        let drawn = cluster::draw(&mut dice, storm_s, calm_s);
        let storm = storm::draw(&mut dice, &drawn, storm_s, rare);
        let mut script: Vec<String> = storm.iter().map(|(at, line)| format!("at +{at} {line}")).collect();
        script.extend(storm::calm(&drawn, &storm).iter().map(|line| format!("at +{storm_s} {line}")));
        script.push(format!("run until +{} seed={seed}", storm_s + calm_s));
        Self { seed, cluster: drawn.lines, script }
    }

    /// The case as a scenario.
    ///
    /// # Errors
    /// The text makes no sense: it was cut down too far.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let cluster = parse_cluster("cluster", &(self.cluster.join("\n") + "\n"))?;
        let script = Script::parse(&self.script.join("\n"), &cluster)
            .map_err(|source| ScenarioError::Script { path: "script".into(), source })?;
        let name = format!("chaos-{}", self.seed);
        Ok(Scenario { name, why: String::new(), cluster: Arc::new(cluster), script, golden: None })
    }

    /// Plays it. A panic of the controller is a violation like any other: the manager would have been gone.
    ///
    /// # Errors
    /// The text makes no sense.
    pub fn play(&self) -> Result<Verdict, ScenarioError> {
        let scenario = self.scenario()?;
        let until = scenario.script.until;
        let played = std::panic::catch_unwind(|| Sim::new(&scenario, Options::default()).run());
        Ok(match played {
            Ok(result) => Verdict { violations: result.violations, simulated: until, log: result.log },
            Err(payload) => Verdict { simulated: until, ..Verdict::broken("panic", words(payload.as_ref())) },
        })
    }

    /// The files of a scenario folder, by name, without its golden log.
    #[must_use]
    pub fn files(&self, verdict: &Verdict) -> [(&'static str, String); 3] {
        let mut readme =
            format!("# Seed {}\n\nDrawn by `simulate --chaos` and cut down. It broke:\n\n", self.seed);
        for violation in verdict.violations.iter().take(3) {
            _ = writeln!(readme, "- {violation}");
        }
        [
            ("README.md", readme),
            ("cluster", self.cluster.join("\n") + "\n"),
            ("script", self.script.join("\n") + "\n"),
        ]
    }
}

fn words(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a word").to_owned()
}
