//! This daemon as one of several that share a store: a node.
//!
//! ```text
//!   join --> beat, every second --> the lease lasts 5 s more, the gate stays open 4 s more
//!                |  `- a node's lease is over --> sweep: its tasks are nobody's
//!                `- fenced: the gate is shut, and the process begins anew
//! ```
//!
//! Leases are by the store's clock. The gate (`dormouse_task::Gate`) closes before the lease can be
//! over, by this machine's clock: counted from when the last beat that was answered was sent. So a
//! node that is cut off or stopped has ceased to act before another one goes on with its tasks.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `info` | what nodes are told and tell of each other |
//! | `needs`, `offer` | what a task needs of its node, and what a node offers |
//! | `placement` | which classes of tasks this node can serve, and why no node can |
//! | `member` | this node: its lease, and what it asks of the store |
//! | `ids` | numbers for new tasks, also of a daemon that has its store for itself |
//! | `tls` | how nodes know each other when they speak |
//! | `beat` | the threads that renew the lease, look for dead nodes, and learn what tasks need |

pub(crate) mod beat;
pub(crate) mod ids;
pub(crate) mod info;
pub(crate) mod member;
pub(crate) mod needs;
mod offer;
pub(crate) mod placement;
pub(crate) mod tls;
