//! A scale of levels for demand, eight to each doubling: a value and the top of its level differ by less than an eighth.
//! Below eight thousandths of a core each value is a level of its own.

/// More than any value reaches.
pub(super) const LEVELS: usize = 256;
const STEPS: u32 = 8;

pub(super) fn level(value: u32) -> u8 {
    if value < STEPS {
        return u8::try_from(value).expect("less than eight");
    }
    let shift = value.ilog2() - 3;
    // value >> shift is 8 to 15.
    u8::try_from(shift * STEPS + (value >> shift)).expect("at most 28 * 8 + 15")
}

/// The largest value of that level.
pub(super) fn top(level: u8) -> u32 {
    let level = u32::from(level);
    if level < STEPS {
        return level;
    }
    let (shift, step) = ((level / STEPS) - 1, level % STEPS);
    let next = u64::from(STEPS + step + 1) << shift;
    u32::try_from(next - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_rise_without_a_gap() {
        let last = level(u32::MAX);
        assert_eq!(top(last), u32::MAX);
        for at in 0..last {
            assert!(top(at) < top(at + 1));
            assert_eq!((level(top(at)), level(top(at) + 1)), (at, at + 1));
        }
    }

    proptest! {
        #[test]
        fn the_top_of_a_level_is_at_most_an_eighth_above(value: u32) {
            let top = top(level(value));
            prop_assert!(top >= value && u64::from(top) <= u64::from(value) + u64::from(value / 8), "{value} {top}");
        }
    }
}
