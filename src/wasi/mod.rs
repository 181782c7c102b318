//! WASI preview1 over plain guest memory, with every piece of its state serializable.
//!
//! Nothing here knows an engine: a call gets its arguments and `&mut [u8]`, and answers
//! [`Outcome::Done`], [`Outcome::Block`] with the [`Wait`](crate::model::Wait) as data, or
//! [`Outcome::Exit`].
