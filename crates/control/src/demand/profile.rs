//! What each hour of the week was like when it was there last: the memory of the seasonal-naive forecast.

use super::level::top;

pub(crate) const HOURS: usize = 168;

/// One byte an hour: the level of its 90th of 100, plus one; 0: never seen.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    hours: [u8; HOURS],
}

impl Default for Profile {
    fn default() -> Self {
        Self { hours: [0; HOURS] }
    }
}

impl Profile {
    pub(super) fn learn(&mut self, hour: usize, level: u8) {
        if let Some(cell) = self.hours.get_mut(hour) {
            *cell = level.saturating_add(1);
        }
    }

    pub(super) fn expected(&self, hour: usize) -> Option<u32> {
        self.hours.get(hour).and_then(|cell| cell.checked_sub(1)).map(top)
    }
}
