//! What the knob `forecast` changes: the same two Mondays with and without it.

use dormouse_sim::{Options, RunResult, Scenario, Sim};
use std::path::Path;

fn monday(forecast: &str) -> RunResult {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/forecast-wakes-ahead-of-monday");
    let mut scenario = Scenario::load(&folder).expect("a scenario");
    scenario.set_knob("forecast", forecast).expect("a knob");
    Sim::new(&scenario, Options::default()).run()
}

#[test]
fn without_a_forecast_the_second_monday_is_served_as_late_as_the_first() {
    let (with, without) = (monday("seasonal-naive"), monday("none"));
    assert_eq!(with.failures, []);
    let missed: Vec<_> = without.failures.iter().map(|failure| failure.text.as_str()).collect();
    assert_eq!(missed, ["expect within=518400 event forecast.rise", "expect within=1 host h[1-6] on"]);
    let (with, without) = (with.figures, without.figures);
    assert!(
        with.unserved_share < without.unserved_share * 0.6,
        "{} {}",
        with.unserved_share,
        without.unserved_share
    );
    assert!(with.energy_kwh < without.energy_kwh * 1.02, "{} {}", with.energy_kwh, without.energy_kwh);
    assert_eq!(with.violations, []);
}
