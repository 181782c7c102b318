//! Tasks that move from one daemon to another: what source and target store of a move, so that
//! exactly one of them has the task at any time. It is a commit in two phases, in which the source
//! decides. `peers` has how the two talk to each other.
//!
//! ```text
//!   source                                     target
//!   hibernated, parked, …                      (nothing)
//!      | stopped, its snapshot stored
//!      v
//!   moving    [Preparing] ----- offer ------>  arriving  [Prepared]      does not run
//!      |  \                                       |  \
//!      |   `- any failure, any restart            |   `- the source says: aborted
//!      |        hibernated [Aborted] - abort ->   |        (nothing)
//!      | prepared                                 |
//!      v                                          |
//!   moved     [Committed] ----- accept ----->  hibernated, paused [Accepted]
//!      |                                          |
//!      | accepted                                 |
//!      v                                          |
//!   moved     (nothing) ------- forget ----->  (nothing remembered)
//! ```
//!
//! The words in brackets are phases ([`MovePhase`]) of the move's record in the store, which is
//! written in one transaction with the task. The one transaction that makes the phase `Committed`
//! passes the task on. Before it the source alone decides: after any failure it keeps the task
//! without asking. After it the source never runs the task again. The target, which stored the task
//! as prepared before, asks the source until it knows the outcome.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `source`, `target` | what each of the two daemons does |
//! | `offer` | what the source sends of a task |
//! | `decision` | open moves whose daemons cannot reach each other |
//!
//! `driver/move_step.rs` has the change of the task and of the record that each step leads to.

pub(crate) mod decision;
pub(crate) mod offer;
mod source;
pub(crate) mod target;
