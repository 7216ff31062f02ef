//! Integer quantities. The unit is the type; sums that leave the range stop the program rather than wrap
//! (the release profile keeps overflow checks), because a wrong sum of memory is a lost VM.
//! All of it may be inlined into other crates: planning does little else than these sums.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            pub const ZERO: Self = Self(0);
            pub const MAX: Self = Self(<$int>::MAX);

            /// What is left after taking `other`, never below zero.
            #[inline]
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            #[inline]
            #[must_use]
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }
        impl Add for $name {
            type Output = Self;
            #[inline]
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl Sub for $name {
            type Output = Self;
            #[inline]
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }
        impl AddAssign for $name {
            #[inline]
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }
        impl SubAssign for $name {
            #[inline]
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }
        impl Mul<$int> for $name {
            type Output = Self;
            #[inline]
            fn mul(self, times: $int) -> Self {
                Self(self.0 * times)
            }
        }
        impl Sum for $name {
            #[inline]
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self(0), Add::add)
            }
        }
    };
}

quantity!(
    /// Memory, in MiB.
    Mib(u64)
);
quantity!(
    /// Processor time per time, in thousandths of a core: 1000 is one core fully busy.
    MilliCpu(u64)
);
quantity!(
    /// Power, in watts.
    Watts(u64)
);
quantity!(
    /// Energy, in thousandths of a joule: exact for watts times milliseconds.
    MilliJoules(u128)
);
quantity!(
    /// A span of time, in milliseconds.
    Millis(u64)
);
quantity!(
    /// A rate on a link, in 10^6 bits per second.
    Mbps(u64)
);
quantity!(
    /// A share of a whole, in thousandths (load 0.30 is 300; a load above 1 is above 1000).
    Permille(u64)
);

/// A point on the monotonic clock, in milliseconds since an origin that the runner chose.
/// Leases, timeouts and freshness use it and nothing else; it never jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    pub const ZERO: Self = Self(0);

    /// Time passed since `earlier`; zero when `earlier` is not earlier.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Millis> for Mono {
    type Output = Self;
    #[inline]
    fn add(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Millis {
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }
    #[must_use]
    pub const fn from_mins(mins: u64) -> Self {
        Self(mins * 60_000)
    }
    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

impl Watts {
    /// The energy that this power draws in that time.
    #[must_use]
    pub const fn times(self, span: Millis) -> MilliJoules {
        MilliJoules(self.0 as u128 * span.0 as u128)
    }
}

impl MilliJoules {
    /// Kilowatt hours, for people and JSON only; never for decisions.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
    pub fn as_kwh(self) -> f64 {
        self.0 as f64 / 3_600_000_000.0
    }
}

impl Mib {
    /// The shortest time in which this much memory crosses a link of that rate
    /// (2^20 bytes of 8 bits over 10^6 bits per second, rounded up). A rate of zero never ends.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "compared before")]
    pub const fn transfer_time(self, rate: Mbps) -> Millis {
        if rate.0 == 0 {
            return Millis::MAX;
        }
        // MiB * 8 * 1048576 bits / (Mbps * 1000 bits per ms). The VMs of a whole host may be more than fits 64 bits,
        // nearly all are less, and dividing 128 bits takes many times as long.
        if let (Some(bits), Some(rate)) = (self.0.checked_mul(8_388_608), rate.0.checked_mul(1000)) {
            return Millis(bits.div_ceil(rate));
        }
        let millis = (self.0 as u128 * 8_388_608).div_ceil(rate.0 as u128 * 1000);
        if millis > u64::MAX as u128 { Millis::MAX } else { Millis(millis as u64) }
    }
}

impl MilliCpu {
    /// This demand as a share of `whole`, rounded up; a share of nothing is more than any load.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "compared before")]
    pub const fn share_of(self, whole: Self) -> Permille {
        if whole.0 == 0 {
            return if self.0 == 0 { Permille(0) } else { Permille(u64::MAX) };
        }
        let share = (self.0 as u128 * 1000).div_ceil(whole.0 as u128);
        Permille(if share > u64::MAX as u128 { u64::MAX } else { share as u64 })
    }
}

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1024 && self.0.is_multiple_of(1024) {
            write!(f, "{} GiB", self.0 / 1024)
        } else {
            write!(f, "{} MiB", self.0)
        }
    }
}
impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} cores", self.0 / 1000, self.0 % 1000)
    }
}
impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} W", self.0)
    }
}
impl fmt::Display for Permille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(10) {
            write!(f, "{}.{:02}", self.0 / 1000, self.0 % 1000 / 10)
        } else {
            write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
        }
    }
}
impl fmt::Display for Mbps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Mbit/s", self.0)
    }
}
impl fmt::Display for Millis {
    /// The two largest parts: `2h05m`, `7m30s`, `2.1s`, `350ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0 / 1000;
        match secs {
            0 => write!(f, "{}ms", self.0),
            1..60 => write!(f, "{}.{}s", secs, self.0 % 1000 / 100),
            60..3600 => write!(f, "{}m{:02}s", secs / 60, secs % 60),
            3600..86_400 => write!(f, "{}h{:02}m", secs / 3600, secs % 3600 / 60),
            _ => write!(f, "{}d{:02}h", secs / 86_400, secs % 86_400 / 3600),
        }
    }
}
impl fmt::Display for Mono {
    /// Seconds and milliseconds, as golden events print time: `00610.250`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_clone_crosses_a_gigabit_link_in_two_seconds() {
        assert_eq!(Mib(256).transfer_time(Mbps(1000)), Millis(2148));
        assert_eq!(Mib(1).transfer_time(Mbps(0)), Millis::MAX);
        assert_eq!(Mib::MAX.transfer_time(Mbps(1)), Millis::MAX, "no wrap, no panic");
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!(Mib(2048).to_string(), "2 GiB");
        assert_eq!(Mib(1740).to_string(), "1740 MiB");
        assert_eq!(Millis(450_000).to_string(), "7m30s");
        assert_eq!(Millis(7_500_000).to_string(), "2h05m");
        assert_eq!(Mono(610_250).to_string(), "00610.250");
        assert_eq!(Permille(300).to_string(), "0.30");
        assert_eq!(Watts(45).times(Millis::from_secs(3600 * 1000)).as_kwh(), 45.0);
    }
}
