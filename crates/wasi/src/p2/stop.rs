//! Why a call of a component's does not return to it.

use std::borrow::Cow;

use dormouse_model::Wait;

/// Why a call does not return.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The guest has broken a rule of the component model or of an interface. It ends.
    Trap(Cow<'static, str>),
    /// The call cannot be answered yet.
    Block(Wait),
    /// The guest ends with this exit code.
    Exit(u32),
}

/// What a call gives, or why it does not return.
pub(crate) type Called<T> = Result<T, Stop>;

/// The end of a guest that has broken a rule.
pub(crate) fn trap<T>(message: impl Into<Cow<'static, str>>) -> Called<T> {
    Err(Stop::Trap(message.into()))
}
