//! The last lines of a task's output.

use std::collections::VecDeque;

use crate::daemon::info::Piece;

/// Keeps the last lines of what is pushed. The lines of both streams count together, as they come.
pub(super) struct LastLines {
    most: usize,
    pieces: VecDeque<Piece>,
    /// How many lines end in them.
    ends: usize,
}

/// How many lines end in a piece.
fn ends(piece: &Piece) -> usize {
    let bytes = piece.entry.bytes.iter();
    bytes.filter(|byte| **byte == b'\n').count()
}

impl LastLines {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            pieces: VecDeque::new(),
            ends: 0,
        }
    }

    pub(super) fn push(&mut self, piece: Piece) {
        if piece.entry.bytes.is_empty() {
            return;
        }
        self.ends += ends(&piece);
        self.pieces.push_back(piece);
        // Without its first piece, there are lines enough, and one that may have no end yet.
        while let Some(first) = self.pieces.front()
            && self.ends - ends(first) > self.most
        {
            self.ends -= ends(first);
            self.pieces.pop_front();
        }
    }

    /// What is left, from the beginning of a line on.
    pub(super) fn pieces(mut self) -> impl Iterator<Item = Piece> {
        let has_end = |piece: &Piece| piece.entry.bytes.last() == Some(&b'\n');
        let unfinished = self.pieces.back().is_some_and(|piece| !has_end(piece));
        let lines = self.ends + usize::from(unfinished);
        let mut excess = match self.most {
            // All of them, the unfinished one too.
            0 => {
                self.pieces.clear();
                0
            }
            most => lines.saturating_sub(most),
        };
        while excess > 0
            && let Some(mut first) = self.pieces.pop_front()
        {
            let bytes = &mut first.entry.bytes;
            let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let cut: Vec<usize> = newlines.map(|(place, _)| place).take(excess).collect();
            let Some(last) = cut.last() else { continue };
            excess -= cut.len();
            bytes.drain(..=*last);
            if excess == 0 && !bytes.is_empty() {
                self.pieces.push_front(first);
            }
        }
        self.pieces.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Timestamp;
    use crate::store::{OutputPiece, Stream};

    fn piece(text: &str) -> Piece {
        Piece {
            sequence: None,
            entry: OutputPiece {
                stream: Stream::Stdout,
                time: Timestamp::EPOCH,
                bytes: text.into(),
            },
        }
    }

    fn last(most: usize, texts: &[&str]) -> String {
        let mut last = LastLines::new(most);
        texts.iter().for_each(|text| last.push(piece(text)));
        let bytes = last.pieces().flat_map(|piece| piece.entry.bytes);
        String::from_utf8(bytes.collect()).expect("it is text")
    }

    #[test]
    fn the_last_lines_are_those_of_tail() {
        assert_eq!(last(2, &["a\nb\nc\n"]), "b\nc\n");
        assert_eq!(last(1, &["a\nb", "c\nd"]), "d");
        assert_eq!(last(2, &["a\nb", "c\nd"]), "bc\nd");
        assert_eq!(last(2, &["a\n", "b\n"]), "a\nb\n");
        assert_eq!(last(9, &["a\n", "b"]), "a\nb");
        assert_eq!(last(0, &["a\n", "b"]), "");
        assert_eq!(last(1, &[]), "");
        assert_eq!(last(usize::MAX, &["a\n"]), "a\n");
    }

    proptest! {
        /// tail(1) counts lines so, however the text came in pieces.
        #[test]
        fn pieces_make_no_difference(texts in prop::collection::vec("[ab\n]{0,6}", 0..9), most in 0_usize..6) {
            let whole = texts.concat();
            let lines: Vec<&str> = whole.split_inclusive('\n').collect();
            let expected = lines[lines.len().saturating_sub(most)..].concat();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(last(most, &texts), expected);
        }
    }
}
