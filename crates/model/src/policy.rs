//! The policy and its knobs. One table, [`KNOBS`], serves the `policy` line, `--set`, `config explain` and the docs.

use crate::{Millis, Permille};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// The rules of the lab system this project grew from; the baseline.
    Seed,
    /// Ours, the default.
    Balanced,
}

/// Where the demand that is still to come is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forecast {
    /// Nowhere: decisions rest on what was seen.
    #[default]
    None,
    /// The same hour of the week before. It only ever adds to what is seen.
    SeasonalNaive,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub name: PolicyName,
    pub knobs: Knobs,
}

impl Policy {
    /// The policy with the knobs it starts from. `seed` moves a VM up to three times an hour.
    #[must_use]
    pub fn named(name: PolicyName) -> Self {
        let mut knobs = Knobs::default();
        if name == PolicyName::Seed {
            knobs.moves_vm_hour = 3;
        }
        Self { name, knobs }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::named(PolicyName::Balanced)
    }
}

/// Why a knob could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnobError {
    #[error("unknown knob `{name}`{}", crate::text::did_you_mean(.name, KNOBS.iter().map(|knob| knob.name)))]
    Unknown { name: String },
    #[error("`{name}` takes {takes}, not `{value}`")]
    Value { name: &'static str, takes: &'static str, value: String },
}

/// One row of the table of knobs.
#[derive(Debug)]
pub struct KnobInfo {
    pub name: &'static str,
    pub takes: &'static str,
    pub help: &'static str,
    get: fn(&Knobs) -> String,
    set: fn(&mut Knobs, &str) -> Option<()>,
}

/// How a knob's value is written and read.
trait Value: Sized {
    const TAKES: &'static str;
    fn show(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

impl Value for u32 {
    const TAKES: &'static str = "a whole number";
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for bool {
    const TAKES: &'static str = "yes or no";
    fn show(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        match text {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        }
    }
}

impl Value for Forecast {
    const TAKES: &'static str = "none or seasonal-naive";
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|forecast| forecast.as_str() == text)
    }
}

/// `0.30`, `2`, `1.125`: at most three decimals, kept exactly.
impl Value for Permille {
    const TAKES: &'static str = "a number with at most three decimals, like 0.30";
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        crate::text::decimal_thousandths(text).filter(|value| *value <= 1_000_000_000).map(Self)
    }
}

/// `40m`, `90s`, `2h`; a bare number is seconds.
impl Value for Millis {
    const TAKES: &'static str = "a time up to 366d, like 90s, 40m or 2h";
    fn show(&self) -> String {
        crate::text::duration_text(*self)
    }
    fn read(text: &str) -> Option<Self> {
        // Longer than any use of it, and short enough that sums stay far from the end of the integer.
        crate::text::duration(text).filter(|span| span.0 <= 366 * 86_400_000)
    }
}

macro_rules! knobs {
    ($($field:ident: $type:ty = $default:expr, $name:literal, $help:literal;)*) => {
        /// Every knob with its value. Defaults are the design's; each has a test that it changes something.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Knobs {
            $(#[doc = $help] pub $field: $type,)*
        }

        impl Default for Knobs {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// The table of knobs, in the order in which they are shown.
        pub const KNOBS: &[KnobInfo] = &[$(KnobInfo {
            name: $name,
            takes: <$type as Value>::TAKES,
            help: $help,
            get: |knobs| knobs.$field.show(),
            set: |knobs, text| {
                knobs.$field = <$type as Value>::read(text)?;
                Some(())
            },
        },)*];
    };
}

knobs! {
    load_low: Permille = Permille(300), "load.low", "seed: below this load (loadavg15 / CPUs) a host may give its VMs away";
    load_high: Permille = Permille(800), "load.high", "above this load a host gives its lightest VM away";
    cpu_target: Permille = Permille(700), "cpu.target", "a host is filled with CPU demand up to this share";
    spare_min: u32 = 1, "spare.min", "wake a host when fewer places for the largest VM are free";
    spare_target: u32 = 2, "spare.target", "put a host to sleep only if so many places stay free";
    failover: u32 = 1, "failover", "how many hosts may die at once and their VMs still fit on the rest, by memory";
    min_on: u32 = 1, "min_on", "so many hosts stay on whatever happens";
    payback: Permille = Permille(3000), "payback", "watts saved x time asleep over energy of moves and boot, at least";
    disrupt_max: Permille = Permille(2000), "disrupt.max", "share of VMs disturbed over share of watts saved, at most";
    window_sleep: Millis = Millis::from_mins(40), "window.sleep", "how far back demand is looked at before a host may sleep";
    window_wake: Millis = Millis::from_mins(5), "window.wake", "how far back demand is looked at before a host is woken";
    window_churn: Millis = Millis::from_mins(60), "window.churn", "how far back the most memory that VMs took together is looked at: hosts stay on for so much of it, since VMs that went may come back; 0: not at all";
    forecast: Forecast = Forecast::None, "forecast", "what is expected of the hours to come: nothing, or what the same hour of the week before saw; it only adds demand, so it may cost watts and prevents overloads";
    min_up: Millis = Millis::from_mins(30), "min_up", "a host stays on at least so long";
    min_down: Millis = Millis::from_mins(10), "min_down", "a host stays asleep at least so long, unless it is needed";
    moves_vm_hour: u32 = 2, "moves.vm_hour", "moves of one VM in an hour, at most";
    moves_vm_day: u32 = 6, "moves.vm_day", "moves of one VM in a day, at most";
    moves_host_out: u32 = 2, "moves.host_out", "moves out of one host at once, at most";
    moves_host_in: u32 = 2, "moves.host_in", "moves into one host at once, at most";
    moves_all: u32 = 32, "moves.all", "moves in the cluster at once, at most; 0 is no limit";
    wakes_burst: u32 = 8, "wakes.burst", "wakes in 10 s, at most";
    sleeps_burst: u32 = 64, "sleeps.burst", "hosts put to sleep in 10 min, at most";
    cycles_host_day: u32 = 4, "cycles.host_day", "times a host is put to sleep in a day, at most";
    unproven_sleep: bool = false, "unproven.sleep", "put hosts to sleep that were never seen to wake";
    slot_mib: u32 = 256, "slot.mib", "seed: memory of one slot, in MiB";
    time_scale: u32 = 1, "time.scale", "lab and demos: the policy's durations and rates are divided by this";
}

impl Knobs {
    /// Sets one knob from text.
    ///
    /// # Errors
    /// The knob does not exist, or the value is not of its kind.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), KnobError> {
        let knob = KNOBS
            .iter()
            .find(|knob| knob.name == name)
            .ok_or_else(|| KnobError::Unknown { name: name.to_owned() })?;
        (knob.set)(self, value)
            .filter(|()| self.time_scale > 0 && self.slot_mib > 0)
            .ok_or_else(|| KnobError::Value { name: knob.name, takes: knob.takes, value: value.to_owned() })
    }

    /// Each knob's name and value, as `set` reads it.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        KNOBS.iter().map(|knob| (knob.name, (knob.get)(self)))
    }

    /// A duration of the policy, shortened by `time.scale`.
    /// Timeouts, freshness, leases and migration deadlines are never scaled.
    #[must_use]
    pub fn scaled(&self, span: Millis) -> Millis {
        Millis(span.0 / u64::from(self.time_scale))
    }
}

impl PolicyName {
    pub const ALL: [Self; 2] = [Self::Seed, Self::Balanced];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Balanced => "balanced",
        }
    }
}

impl Forecast {
    pub const ALL: [Self; 2] = [Self::None, Self::SeasonalNaive];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SeasonalNaive => "seasonal-naive",
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_reads_what_it_shows() {
        let mut other = Knobs::default();
        for (name, value) in Knobs::default().entries() {
            other.set(name, &value).expect(name);
        }
        assert_eq!(other, Knobs::default());
    }

    #[test]
    fn a_bad_knob_is_named_with_what_it_takes() {
        let mut knobs = Knobs::default();
        let error = knobs.set("load.hihg", "0.9").expect_err("misspelt");
        assert_eq!(error.to_string(), "unknown knob `load.hihg`; did you mean `load.high`?");
        let error = knobs.set("time.scale", "0").expect_err("zero");
        assert_eq!(error.to_string(), "`time.scale` takes a whole number, not `0`");
        let error = knobs.set("forecast", "oracle").expect_err("no such forecast");
        assert_eq!(error.to_string(), "`forecast` takes none or seasonal-naive, not `oracle`");
    }
}
