//! Rows that replay recorded demand, or simulate a year: the program itself is run, and its JSON read.

use super::table::{Row, Table, Verdict};
use std::path::Path;

/// Case and what is to be reached, for rows that nothing in this tree measures yet.
const PENDING: [(&str, &str); 4] = [
    (
        "PlanetLab, 7 days, honest",
        "E 1.005 x sound bound, 1.041 x floor (failover=1: 1.045 x); unserved 0.003 %; 10 moves a day; no violation",
    ),
    (
        "PlanetLab, 7 days, churn",
        "E 1.06 x the bound step by step; waiting under 0.1 % of VM-minutes; two moves per VM and day",
    ),
    ("one PlanetLab day, 800 hosts, replayed", "under 0.5 s of CPU"),
    ("a year of the seed's lab, simulated", "under 60 s of CPU"),
];

pub(super) fn rows(_data: Option<&Path>, _quick: bool, table: &mut Table) {
    for (case, reach) in PENDING {
        table.add(Row {
            case: case.to_owned(),
            reach: reach.to_owned(),
            measured: "-".to_owned(),
            verdict: Verdict::Pending,
        });
    }
}
