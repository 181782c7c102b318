//! Where the last lines of a task's output begin.

use std::collections::VecDeque;

use crate::store::OutputPiece;

/// Finds where the last lines begin in what is pushed, of which it keeps nothing but counts. The
/// lines of both streams count together, as they come.
pub(super) struct LastLines {
    most: usize,
    /// The pieces in which the last lines may begin or stand.
    pieces: VecDeque<Counted>,
    /// How many lines end in them.
    ends: usize,
    /// How many lines end in front of them, in pieces with the number of the first one.
    ends_before: usize,
    /// The last piece ends within a line.
    unfinished: bool,
}

struct Counted {
    number: u64,
    /// How many lines end in it.
    ends: usize,
}

/// Where output begins that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The number of a piece. Those that are not stored yet have the number of the next stored one.
    pub(super) piece: u64,
    /// What to leave out from there on.
    pub(super) skip: Skip,
}

/// What is left out of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// This many lines.
    Lines(usize),
    /// This many bytes.
    Bytes(usize),
}

impl Start {
    /// The whole output from a piece on.
    pub(super) fn at(piece: u64) -> Self {
        let skip = Skip::Bytes(0);
        Self { piece, skip }
    }
}

impl Skip {
    /// Takes what is to be left out from the beginning of the next piece.
    pub(super) fn cut(&mut self, bytes: &mut Vec<u8>) {
        let cut = match self {
            Self::Lines(0) => 0,
            Self::Lines(lines) => {
                let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let ends: Vec<usize> = newlines.map(|(at, _)| at + 1).take(*lines).collect();
                *lines -= ends.len();
                match *lines {
                    0 => ends.last().copied().unwrap_or_default(),
                    _ => bytes.len(),
                }
            }
            Self::Bytes(left) => {
                let cut = bytes.len().min(*left);
                *left -= cut;
                cut
            }
        };
        bytes.drain(..cut);
    }
}

impl LastLines {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            pieces: VecDeque::new(),
            ends: 0,
            ends_before: 0,
            unfinished: false,
        }
    }

    /// Counts a piece with its number.
    pub(super) fn push(&mut self, number: u64, piece: &OutputPiece) {
        let Some(last) = piece.bytes.last() else {
            return;
        };
        self.unfinished = *last != b'\n';
        let ends = piece.bytes.iter().filter(|byte| **byte == b'\n').count();
        self.ends += ends;
        self.pieces.push_back(Counted { number, ends });
        // Without its first piece, there are lines enough, and one that may have no end yet.
        while let Some(first) = self.pieces.front()
            && self.ends - first.ends > self.most
            && let Some(first) = self.pieces.pop_front()
        {
            self.ends -= first.ends;
            let has_its_number = |next: &Counted| next.number == first.number;
            self.ends_before = match self.pieces.front().is_some_and(has_its_number) {
                true => self.ends_before + first.ends,
                false => 0,
            };
        }
    }

    /// Where the last lines begin; `end` is what is behind everything.
    pub(super) fn start(&self, end: Start) -> Start {
        let lines = self.ends + usize::from(self.unfinished);
        match self.pieces.front() {
            Some(first) if self.most > 0 => Start {
                piece: first.number,
                skip: Skip::Lines(self.ends_before + lines.saturating_sub(self.most)),
            },
            _ => end,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Timestamp;
    use crate::store::Stream;

    fn piece(text: &str) -> OutputPiece {
        OutputPiece {
            stream: Stream::Stdout,
            time: Timestamp::EPOCH,
            bytes: text.into(),
        }
    }

    /// The last lines of texts of which so many are stored.
    fn last(most: usize, texts: &[&str], stored: usize) -> String {
        let mut last = LastLines::new(most);
        let number = |index: usize| index.min(stored) as u64;
        for (index, text) in texts.iter().enumerate() {
            last.push(number(index), &piece(text));
        }
        let fresh: usize = texts.iter().skip(stored).map(|text| text.len()).sum();
        let Start { piece, mut skip } = last.start(Start {
            piece: stored as u64,
            skip: Skip::Bytes(fresh),
        });
        let mut found = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            if number(index) >= piece {
                let mut bytes = text.as_bytes().to_vec();
                skip.cut(&mut bytes);
                found.extend(bytes);
            }
        }
        String::from_utf8(found).expect("it is text")
    }

    #[test]
    fn the_last_lines_are_those_of_tail() {
        for stored in 0..3 {
            let last = |most, texts: &[&str]| last(most, texts, stored.min(texts.len()));
            assert_eq!(last(2, &["a\nb\nc\n"]), "b\nc\n");
            assert_eq!(last(1, &["a\nb", "c\nd"]), "d");
            assert_eq!(last(2, &["a\nb", "c\nd"]), "bc\nd");
            assert_eq!(last(2, &["a\n", "b\n"]), "a\nb\n");
            assert_eq!(last(9, &["a\n", "b"]), "a\nb");
            assert_eq!(last(0, &["a\n", "b"]), "");
            assert_eq!(last(1, &[]), "");
            assert_eq!(last(usize::MAX, &["a\n"]), "a\n");
        }
    }

    proptest! {
        /// tail(1) counts lines so, however the text came in pieces.
        #[test]
        fn pieces_make_no_difference(
            texts in prop::collection::vec("[ab\n]{0,6}", 0..9),
            most in 0_usize..6,
            stored in 0_usize..9,
        ) {
            let whole = texts.concat();
            let lines: Vec<&str> = whole.split_inclusive('\n').collect();
            let expected = lines[lines.len().saturating_sub(most)..].concat();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(last(most, &texts, stored.min(texts.len())), expected);
        }
    }
}
