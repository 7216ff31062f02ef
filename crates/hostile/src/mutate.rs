//! Seeded mutations: the same seed gives the same texts on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// No mutated text grows beyond this.
const BYTES_MAX: usize = 64 << 10;
/// Changes to one text.
const CHANGES_MAX: usize = 4;

/// What readers trip over, whatever they read.
const BAITS: [&str; 38] = [
    "",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "-",
    "--",
    "=",
    ",",
    "@",
    "\"",
    "'",
    "#",
    "[",
    "]",
    "[0-99999999]",
    "[9-1]",
    "../../etc/passwd",
    "$(reboot)",
    "-oProxyCommand=reboot",
    "\u{1b}[2J",
    "\u{9b}31m",
    "\u{202e}",
    "\u{2066}",
    "\u{feff}",
    "0",
    "-1",
    "1e400",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "NaN",
    "<!DOCTYPE x [<!ENTITY a 'b'>]>",
    "<a>",
    "]]>",
    "{\"a\":[",
    "\\u{110000}",
];

/// An endless row of texts that are nearly right.
#[derive(Debug)]
pub struct Mutator {
    random: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    /// # Panics
    /// Without any text to begin with.
    #[must_use]
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        assert!(!corpus.is_empty(), "mutations begin with a text");
        Self { random: ChaCha8Rng::seed_from_u64(seed), corpus }
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.random.next_u64() % end).unwrap_or(0)
    }

    /// From 0 to the length, included.
    fn place(&mut self, text: &[u8]) -> usize {
        self.below(text.len() + 1)
    }

    fn stretch(&mut self, text: &[u8]) -> std::ops::Range<usize> {
        let (a, b) = (self.place(text), self.place(text));
        // Mostly short: a text that is half gone is refused at once.
        let (from, to) = (a.min(b), a.max(b));
        if self.below(4) == 0 { from..to } else { from..to.min(from + 12) }
    }

    fn change(&mut self, text: &mut Vec<u8>) {
        let place = self.place(text);
        match self.below(8) {
            0 if place < text.len() => text[place] ^= 1 << self.below(8),
            1 => drop(text.drain(self.stretch(text))),
            2 => {
                let copy = text[self.stretch(text)].to_vec();
                drop(text.splice(place..place, copy));
            }
            3 => text.truncate(place),
            4 => {
                // As from another file of the same kind.
                let other = self.below(self.corpus.len());
                let other = self.corpus[other].clone();
                let piece = other[self.stretch(&other)].to_vec();
                drop(text.splice(place..place, piece));
            }
            5 => {
                let piece = text[self.stretch(text)].to_vec();
                let times = self.below(2_000);
                let much = piece.repeat(times.min(BYTES_MAX / piece.len().max(1)));
                drop(text.splice(place..place, much));
            }
            6 => {
                // In place of a whole word.
                let from =
                    text[..place].iter().rposition(|b| b" =,\n<>'\"".contains(b)).map_or(0, |at| at + 1);
                let to = text[place..]
                    .iter()
                    .position(|b| b" =,\n<>'\"".contains(b))
                    .map_or(text.len(), |at| place + at);
                let bait = BAITS[self.below(BAITS.len())];
                drop(text.splice(from..to, bait.bytes()));
            }
            _ => {
                let bait = BAITS[self.below(BAITS.len())];
                drop(text.splice(place..place, bait.bytes()));
            }
        }
        text.truncate(BYTES_MAX);
    }
}

impl Iterator for Mutator {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let which = self.below(self.corpus.len());
        let mut text = self.corpus[which].clone();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut text);
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_texts_again_and_another_gives_others() {
        let texts =
            |seed| Mutator::new(seed, vec![b"host a cpus=2 mem=2G\n".to_vec()]).take(200).collect::<Vec<_>>();
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
        assert!(texts(7).iter().all(|text| text.len() <= BYTES_MAX));
    }
}
