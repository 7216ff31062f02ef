//! The load average of a host: how many tasks want a processor, exponentially forgotten over 15 minutes.
//!
//! Fixed point instead of floats, so that a golden log made on one machine holds on every other.

use dormouse_model::{MilliCpu, Millis, Permille};

/// One, in the fixed point used here.
const ONE: u128 = 1 << 62;
/// exp(-1 ms / 15 min) as a fraction of [`ONE`].
const DECAY_PER_MS: u128 = 4_611_680_894_334_658_592;

#[derive(Clone, Copy, Debug)]
pub struct LoadAverage {
    /// Thousandths of a task, times 2^20.
    value: u128,
}

const FINE: u32 = 20;

impl LoadAverage {
    /// That of a host on which this demand has stood for long.
    #[must_use]
    pub fn steady(demand: MilliCpu) -> Self {
        Self { value: u128::from(demand.0) << FINE }
    }

    /// Lets time pass with a constant demand.
    pub fn pass(&mut self, span: Millis, demand: MilliCpu) {
        let target = u128::from(demand.0) << FINE;
        if self.value == target {
            return;
        }
        let kept = decay(span);
        // value' = target + (value - target) * kept, without leaving the unsigned numbers
        self.value = if self.value >= target {
            target + (((self.value - target) * kept) >> 62)
        } else {
            target - (((target - self.value) * kept) >> 62)
        };
    }

    /// loadavg15 / CPUs.
    #[must_use]
    pub fn per_cpu(&self, cpus: u32) -> Permille {
        let tasks = (self.value + (1 << (FINE - 1))) >> FINE;
        Permille(u64::try_from(tasks).unwrap_or(u64::MAX) / u64::from(cpus.max(1)))
    }
}

/// exp(-2^n ms / 15 min) by repeated squaring: at each event of a long run every host asks for some of them.
const SQUARES: [u128; 64] = {
    let mut squares = [DECAY_PER_MS; 64];
    let mut n = 1;
    while n < squares.len() {
        squares[n] = (squares[n - 1] * squares[n - 1]) >> 62;
        n += 1;
    }
    squares
};

/// exp(-span / 15 min).
fn decay(span: Millis) -> u128 {
    let mut result = ONE;
    let mut left = span.0;
    while left > 0 && result > 0 {
        result = (result * SQUARES[left.trailing_zeros() as usize]) >> 62;
        left &= left - 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_follows_demand_with_a_time_constant_of_15_minutes() {
        let mut load = LoadAverage::steady(MilliCpu(0));
        load.pass(Millis::from_mins(15), MilliCpu(2000));
        // 1 - 1/e = 0.632
        assert_eq!(load.per_cpu(2), Permille(632));
        load.pass(Millis::from_mins(600), MilliCpu(2000));
        assert_eq!(load.per_cpu(2), Permille(1000));
        load.pass(Millis::from_mins(15), MilliCpu(0));
        assert_eq!(load.per_cpu(2), Permille(368));
    }

    #[test]
    fn many_short_steps_come_to_the_same_as_one_long_one() {
        let (mut short, mut long) = (LoadAverage::steady(MilliCpu(300)), LoadAverage::steady(MilliCpu(300)));
        for _ in 0..60_000 {
            short.pass(Millis(10), MilliCpu(1700));
        }
        long.pass(Millis(600_000), MilliCpu(1700));
        assert_eq!(short.per_cpu(1).0.abs_diff(long.per_cpu(1).0), 0);
    }
}
