//! Which nodes can run a task.

/// What tasks need of a node, as a number: all tasks of one class need the same. A store gives a class
/// to each text that a daemon asks it for (see [`Nodes::class`](crate::Nodes::class)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    /// The class of tasks that any node can run.
    pub const ANY: Self = Self(0);
}
