//! How long moves really take: what lengthens a deadline where the network is slower than the text says (fault N05).
//!
//! A planned deadline is ten times the shortest time by the text. Moves that arrived say of the hosts at both ends how many
//! times that they need; a move that its deadline ended says it of its VM alone, which may be a guest that outruns any link.
//! Times are averaged, never speeds, which would hide the slow ones; one slow move counts at once and is forgotten slowly.
//! Never shortens a deadline. Not kept over a restart: the first slow move tells it again.

use crate::controller::Controller;
use dormouse_model::{Action, HostId, Intent, Millis, Outcome, OutcomeError, Step};

/// A deadline is so many times what moves took of late: less than the plan's ten, since other moves on the same links and
/// what guests write are in what was measured.
const SLACK: u64 = 4;
/// A link so much slower than its text is no link to move over; and no move is worth half a night.
const MOST: u64 = 16 * ONE;
const LONGEST: Millis = Millis::from_mins(4 * 60);
/// A slower sample weighs 1 / 2, a faster one 1 / 4.
const SLOWER: u64 = 2;
const FASTER: u64 = 4;

pub(crate) const ONE: u64 = 1000;

/// What planned deadlines are to be multiplied by, in thousandths, when a move took so long.
fn stretch(took: Millis, planned: Millis) -> u64 {
    (took.0.saturating_mul(SLACK).saturating_mul(ONE) / planned.0.max(1)).clamp(ONE, MOST)
}

/// What is known after one more sample.
const fn mean(known: u64, sample: u64) -> u64 {
    let weight = if sample > known { SLOWER } else { FASTER };
    (known * (weight - 1) + sample) / weight
}

fn deadline(planned: Millis, stretch: u64) -> Millis {
    Millis(planned.0.saturating_mul(stretch) / ONE).min(LONGEST).max(planned)
}

impl Controller {
    /// The driver is done with a move after so long.
    pub(crate) fn learn_rate(&mut self, intent: &Intent, planned: Millis, outcome: &Outcome, took: Millis) {
        let Action::Migrate { vm, from, to } = intent.action else { return };
        match outcome {
            Outcome::Done { .. } => {
                for end in [from, to] {
                    let known = &mut self.host_mut(end).stretch;
                    *known = mean(*known, stretch(took, planned));
                }
                self.vms.record_mut(vm).stretch = ONE;
            }
            // It needs more than that, nobody knows by how much. A guest that outruns the link will be ended by the watch
            // on its progress.
            Outcome::Failed(OutcomeError::Deadline(deadline)) => {
                self.vms.record_mut(vm).stretch = stretch(*deadline, planned);
            }
            _ => {}
        }
    }

    /// Time by the slower of both ends, and by what it did not manage in; never less than planned.
    pub(crate) fn give_time(&self, step: &mut Step) {
        let Action::Migrate { vm, from, to } = step.action else { return };
        let known = |id: HostId| self.host(id).stretch;
        let most = known(from).max(known(to)).max(self.vms.record(vm).stretch);
        step.deadline = deadline(step.deadline, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 4 GiB at 1000 Mbit/s: ten times 34 s.
    const PLANNED: Millis = Millis::from_secs(343);

    #[test]
    fn one_slow_move_among_many_fast_ones_is_not_averaged_away() {
        let known = (0..20).fold(ONE, |known, _| mean(known, stretch(Millis::from_secs(40), PLANNED)));
        assert_eq!(deadline(PLANNED, known), PLANNED, "as planned");
        let slow = mean(known, stretch(Millis::from_secs(300), PLANNED));
        let given = deadline(PLANNED, slow);
        assert!(given > Millis::from_secs(2 * 300), "{given}");
    }

    proptest! {
        #[test]
        fn never_less_than_planned_never_beyond_its_bounds(planned: u64, took: Vec<u64>) {
            let planned = Millis(planned);
            let known = took.iter().fold(ONE, |known, took| mean(known, stretch(Millis(*took), planned)));
            let given = deadline(planned, known);
            prop_assert!(given >= planned);
            prop_assert!(given <= planned.max(LONGEST) && given.0 <= planned.0.saturating_mul(MOST / ONE));
        }

        #[test]
        fn the_next_move_as_slow_as_the_last_one_arrives(planned in 1_u64..3_600_000, percent in 1_u64..400) {
            let (planned, took) = (Millis(planned), Millis(planned * percent / 100));
            let given = deadline(planned, mean(ONE, stretch(took, planned)));
            prop_assert!(given >= took.min(LONGEST), "{given}");
        }
    }
}
