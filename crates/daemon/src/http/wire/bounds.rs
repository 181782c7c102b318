//! What keeps requests and answers from getting larger than they look.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::http::wire::Task;

/// A batch has at most this many submissions.
pub(in crate::http) const MOST_SUBMITTED: u64 = 10_000;

/// Bytes of arguments, and of names of variables, that a list has of each task.
const BRIEF_BYTES: usize = 1024;

/// The submissions of a batch. Reading ends where there are too many, before they take memory.
pub(in crate::http) struct Batch(pub(in crate::http) Vec<Map<String, Value>>);

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Submissions)
    }
}

struct Submissions;

impl<'de> Visitor<'de> for Submissions {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST_SUBMITTED} tasks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Batch, A::Error> {
        let mut batch = Vec::new();
        while let Some(item) = items.next_element()? {
            batch.push(item);
            if batch.len() as u64 > MOST_SUBMITTED {
                return Err(A::Error::invalid_length(batch.len(), &self));
            }
        }
        Ok(Batch(batch))
    }
}

impl Task {
    /// The same for a list of tasks: long arguments and names of variables are cut.
    pub(in crate::http) fn brief(mut self) -> Self {
        self.shortened = shorten(&mut self.spec.args) | shorten(&mut self.variables);
        self
    }
}

/// Leaves about a KiB of texts, and says whether that is not all.
fn shorten(texts: &mut Vec<String>) -> bool {
    let (mut left, mut count, mut cut) = (BRIEF_BYTES, 0, false);
    for text in texts.iter_mut() {
        if left == 0 {
            break;
        }
        count += 1;
        if text.len() >= left {
            cut = text.len() > left;
            text.truncate(text.floor_char_boundary(left));
            break;
        }
        left -= text.len() + 1;
    }
    cut |= count < texts.len();
    texts.truncate(count);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_beginning_of_long_arguments() {
        let short = |texts: &[&str]| {
            let mut texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
            let cut = shorten(&mut texts);
            (texts, cut)
        };
        assert_eq!(short(&[]), (vec![], false));
        assert_eq!(short(&["a", ""]), (vec!["a".into(), String::new()], false));
        let long = "ä".repeat(BRIEF_BYTES);
        let (texts, cut) = short(&["a", &long, "b"]);
        assert!(cut && texts.len() == 2 && long.starts_with(&texts[1]));
        assert!(texts[1].len() <= BRIEF_BYTES && texts[1].len() > BRIEF_BYTES / 2);
        let (texts, cut) = short(&vec![""; BRIEF_BYTES + 1]);
        assert!(cut && texts.len() == BRIEF_BYTES, "{}", texts.len());
        let whole = "x".repeat(BRIEF_BYTES);
        assert_eq!(short(&[&whole]), (vec![whole.clone()], false));
    }

    #[test]
    fn a_batch_of_too_many_is_not_read_to_its_end() {
        let read = |text: &str| serde_json::from_str::<Batch>(text);
        assert_eq!(read("[{},{}]").map(|batch| batch.0.len()).ok(), Some(2));
        // What comes after the bound is not even JSON.
        let many = format!("[{}nonsense", "{},".repeat(MOST_SUBMITTED as usize + 1));
        let error = read(&many).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("at most 10000")));
    }
}
