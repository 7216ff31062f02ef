//! Targets on a shelf, ordered by the room they have left: the tightest that is large enough is found in a few steps,
//! however many there are.

/// Places on a shelf; rooms beyond that share places. 2^16 keeps it in a few hundred kilobytes.
const PLACES_MAX: u64 = 1 << 16;

pub(super) struct Shelf {
    /// Rooms that differ only below this bit share a place.
    shift: u32,
    /// First target of each place, plus one; 0: none.
    first: Vec<u32>,
    /// Neighbours of each target in its place, plus one; and the place, plus one.
    links: Vec<[u32; 3]>,
    /// A bit for each place that holds something, a bit for each word of those, and so on.
    taken: [Vec<u64>; 3],
}

const BEFORE: usize = 0;
const AFTER: usize = 1;

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 places and targets")
}

impl Shelf {
    /// For so many targets, none of them on it yet, with rooms up to `most`.
    pub(super) fn new(targets: usize, most: u64) -> Self {
        let shift = (u64::BITS - most.leading_zeros()).saturating_sub(PLACES_MAX.ilog2());
        let places = usize::try_from(most >> shift).expect("at most 2^16 places") + 1;
        let words = |bits: usize| bits.div_ceil(64);
        let (low, middle) = (words(places), words(words(places)));
        Self {
            shift,
            first: vec![0; places],
            links: vec![[0; 3]; targets],
            taken: [vec![0; low], vec![0; middle], vec![0; words(middle)]],
        }
    }

    pub(super) fn put(&mut self, target: usize, room: u64) {
        self.take(target);
        let place = self.place(room);
        let after = std::mem::replace(&mut self.first[place], small(target) + 1);
        self.links[target] = [0, after, small(place) + 1];
        match after {
            0 => self.mark(place),
            after => self.links[after as usize - 1][BEFORE] = small(target) + 1,
        }
    }

    pub(super) fn take(&mut self, target: usize) {
        let [before, after, place] = std::mem::take(&mut self.links[target]);
        if place == 0 {
            return;
        }
        if after != 0 {
            self.links[after as usize - 1][BEFORE] = before;
        }
        if before != 0 {
            self.links[before as usize - 1][AFTER] = after;
            return;
        }
        let place = place as usize - 1;
        self.first[place] = after;
        if after == 0 {
            self.clear(place);
        }
    }

    /// Rooms beyond what was expected share the last place.
    fn place(&self, room: u64) -> usize {
        let last = self.first.len() - 1;
        usize::try_from(room >> self.shift).map_or(last, |place| place.min(last))
    }

    fn mark(&mut self, place: usize) {
        let mut at = place;
        for level in &mut self.taken {
            let was = level[at / 64];
            level[at / 64] |= 1 << (at % 64);
            if was != 0 {
                return;
            }
            at /= 64;
        }
    }

    fn clear(&mut self, place: usize) {
        let mut at = place;
        for level in &mut self.taken {
            level[at / 64] &= !(1 << (at % 64));
            if level[at / 64] != 0 {
                return;
            }
            at /= 64;
        }
    }

    /// The first place from this one on that holds something.
    fn next(&self, place: usize) -> Option<usize> {
        let mut at = place;
        for (height, level) in self.taken.iter().enumerate() {
            let word = level.get(at / 64)? & (u64::MAX << (at % 64));
            if word != 0 {
                at = at / 64 * 64 + word.trailing_zeros() as usize;
                // Down again to the place itself.
                for lower in self.taken[..height].iter().rev() {
                    at = at * 64 + lower[at].trailing_zeros() as usize;
                }
                return Some(at);
            }
            at = at / 64 + 1;
        }
        None
    }

    /// The first target that suits, from the tightest with this room on.
    pub(super) fn find(&self, room: u64, mut suits: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut place = self.next(self.place(room))?;
        loop {
            let mut target = self.first[place] as usize;
            while target != 0 {
                if suits(target - 1) {
                    return Some(target - 1);
                }
                target = self.links[target - 1][AFTER] as usize;
            }
            place = self.next(place + 1)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_list_would(
            most in prop_oneof![Just(10u64), Just(70_000), Just(1_000_000)],
            acts in prop::collection::vec((0..40usize, prop::option::of(0..1_000_000u64), 0..1_000_000u64), 1..80),
        ) {
            let mut shelf = Shelf::new(40, most);
            let mut rooms = [None; 40];
            for (target, room, asked) in acts {
                rooms[target] = room.map(|room| room % (most + 1));
                match rooms[target] {
                    Some(room) => shelf.put(target, room),
                    None => shelf.take(target),
                }
                let asked = asked % (most + 1);
                let found = shelf.find(asked, |target| rooms[target].is_some_and(|room| room >= asked));
                let listed = rooms.iter().flatten().filter(|room| **room >= asked).min();
                let place = |room: u64| room >> shelf.shift;
                prop_assert_eq!(found.and_then(|target| rooms[target]).map(place), listed.copied().map(place));
            }
        }
    }
}
