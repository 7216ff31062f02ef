//! When the policies of the literature hold a host for overloaded.
//!
//! - `thr`: above a fixed share. - `iqr`, `mad`: above a share that falls with the spread of its history.
//! - `lr`: the line through its last ten values, read one step ahead.
//!
//! The history of a host is that of the VMs it has now: it travels with them. Floats are fine here: these policies are
//! measured, not trusted.

use super::history::History;
use dormouse_model::text::decimal_thousandths;

/// Samples that are remembered of each VM.
pub(super) const KEEP: usize = 30;
/// Values that `iqr` and `mad` need, and `lr`; before, a fixed share counts.
const SPREAD_NEEDS: usize = 12;
const LINE_NEEDS: usize = 10;
const FALLBACK: f64 = 0.7;
/// The longest migration is over within one step.
const STEPS_AHEAD: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Detector {
    Thr(f64),
    Iqr(f64),
    Mad(f64),
    Lr(f64),
}

impl Detector {
    /// By its word and its parameter; `None`: no such word.
    pub(super) fn named(word: &str, parameter: &str) -> Option<Result<Self, &'static str>> {
        let make: fn(f64) -> Self = match word {
            "thr" => Self::Thr,
            "iqr" => Self::Iqr,
            "mad" => Self::Mad,
            "lr" => Self::Lr,
            _ => return None,
        };
        let thousandths = decimal_thousandths(parameter).filter(|number| (1..=100_000).contains(number));
        Some(match thousandths.and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Ok(make(f64::from(number) / 1000.0)),
            None => Err("its parameter is a number above 0 with at most three decimals, like 0.8"),
        })
    }

    /// Is a host of so many MIPS overloaded, with so much asked of it by VMs with these histories?
    pub(super) fn over<'a>(self, mips: u64, demand: u64, vms: impl Iterator<Item = &'a History>) -> bool {
        let share = float(demand) / float(mips.max(1));
        if let Self::Thr(limit) = self {
            return share > limit;
        }
        let history = of_host(mips, vms);
        match self {
            Self::Iqr(safety) if history.len() >= SPREAD_NEEDS => share > 1.0 - safety * iqr(&history),
            Self::Mad(safety) if history.len() >= SPREAD_NEEDS => share > 1.0 - safety * mad(&history),
            Self::Lr(safety) if history.len() >= LINE_NEEDS => {
                line_at(&history[..LINE_NEEDS], STEPS_AHEAD) * safety >= 1.0
            }
            _ => share > FALLBACK,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "MIPS are far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

fn place(index: usize) -> f64 {
    f64::from(u32::try_from(index).unwrap_or(u32::MAX))
}

/// The newest first; zeros at the old end are no history.
fn of_host<'a>(mips: u64, vms: impl Iterator<Item = &'a History>) -> Vec<f64> {
    let mut sums: Vec<u64> = vec![];
    for vm in vms {
        sums.resize(sums.len().max(vm.len()), 0);
        for (sum, sample) in sums.iter_mut().zip(vm.newest_first()) {
            *sum += sample;
        }
    }
    while sums.last() == Some(&0) {
        sums.pop();
    }
    sums.into_iter().map(|sum| float(sum) / float(mips.max(1))).collect()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Between the values at a quarter and at three quarters of n + 1, rounded.
fn iqr(history: &[f64]) -> f64 {
    let values = sorted(history.iter().copied());
    let at = |quarters: usize| values[((quarters * (values.len() + 1) + 2) / 4).clamp(1, values.len()) - 1];
    at(3) - at(1)
}

fn median(values: &[f64]) -> f64 {
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

fn mad(history: &[f64]) -> f64 {
    let middle = median(&sorted(history.iter().copied()));
    median(&sorted(history.iter().map(|value| (value - middle).abs())))
}

/// Least squares through values at 1, 2 … n (newest first in the list), read so many steps after n.
fn line_at(newest_first: &[f64], ahead: f64) -> f64 {
    let count = place(newest_first.len());
    let mean_x = (count + 1.0) / 2.0;
    let mean_y = newest_first.iter().sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (index, y) in newest_first.iter().rev().enumerate() {
        let x = place(index) + 1.0 - mean_x;
        above += x * (y - mean_y);
        below += x * x;
    }
    mean_y + above / below * (count + ahead - mean_x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(samples: &[u64]) -> History {
        let mut history = History::default();
        samples.iter().for_each(|sample| history.push(*sample, KEEP));
        history
    }

    fn over(detector: Detector, samples: &[u64]) -> bool {
        let history = history(samples);
        detector.over(1000, *samples.last().unwrap(), std::iter::once(&history))
    }

    #[test]
    fn a_fixed_share_is_a_fixed_share() {
        assert!(!over(Detector::Thr(0.8), &[800]));
        assert!(over(Detector::Thr(0.8), &[801]));
    }

    #[test]
    fn the_more_it_swings_the_sooner_it_counts_as_full() {
        let calm = [500; 11].into_iter().chain([900]).collect::<Vec<_>>();
        assert!(!over(Detector::Iqr(1.5), &calm));
        assert!(!over(Detector::Mad(2.5), &calm));
        // Quartiles 100 and 500: 1 - 1.5 x 0.4 = 0.4. Median 300, deviations of 200: 1 - 2.5 x 0.2 = 0.5.
        let wild = [100, 500, 100, 500, 100, 500, 100, 500, 100, 500, 100, 501];
        assert!(over(Detector::Iqr(1.5), &wild));
        assert!(over(Detector::Mad(2.5), &wild));
        assert!(!over(Detector::Mad(2.4), &wild));
    }

    #[test]
    fn before_there_is_enough_history_seven_tenths_count() {
        assert!(over(Detector::Mad(2.5), &[100; 10].into_iter().chain([701]).collect::<Vec<_>>()));
        assert!(!over(Detector::Lr(1.2), &[700]));
    }

    #[test]
    fn a_line_is_read_one_step_ahead() {
        // 100, 200 … 1000 leads to 1,100; a tenth less of safety and it is not yet full.
        let rising: Vec<u64> = (1..=10).map(|at| at * 70).collect();
        assert!(over(Detector::Lr(1.3), &rising));
        assert!(!over(Detector::Lr(1.29), &rising));
    }

    #[test]
    fn parameters_are_read_and_nonsense_is_refused() {
        assert_eq!(Detector::named("mad", "2.5"), Some(Ok(Detector::Mad(2.5))));
        assert!(Detector::named("thr", "nan").is_some_and(|read| read.is_err()));
        assert!(Detector::named("thr", "0").is_some_and(|read| read.is_err()));
        assert_eq!(Detector::named("xyz", "1"), None);
    }
}
