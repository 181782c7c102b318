//! What an instrumentation is told.

use dormouse_model::ValType;

use crate::manifest::Transform;
use crate::step::Step;

/// A function that the host offers to modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFunction {
    /// Types of its parameters.
    pub params: Vec<ValType>,
    /// Types of its results; at most one.
    pub results: Vec<ValType>,
    /// Whether a call may suspend the guest.
    pub blocks: bool,
}

/// Finds the host's function with this module, this name and these parameters, if there is one.
pub type Offer<'a> = dyn Fn(&str, &str, &[ValType]) -> Option<HostFunction> + 'a;

/// How to instrument.
pub struct Options<'a> {
    /// The functions that the host offers. Several may have one name and differ in parameters.
    pub host: &'a Offer<'a>,
    /// The interfaces that the host offers to components, for the message where one is missing.
    pub interfaces: &'a [&'a str],
    /// How the module is rewritten.
    pub transform: Transform,
    /// Whether loops and calls carry a check, so that a guest that computes can be suspended too.
    /// [`Transform::None`] has no checks.
    pub preempt: bool,
    /// Called at the start of each step. A step lasts until the next one starts.
    pub steps: &'a dyn Fn(Step),
    /// Called once before the rewriting, with the size of the functions that are going to be
    /// instrumented, in bytes, and the transform that is taken, which is not [`Transform::Auto`].
    /// The time that the rewriting takes grows with the size.
    pub code: &'a dyn Fn(u64, Transform),
}

impl<'a> Options<'a> {
    /// The default transform, without checks, and nobody is told of the steps.
    pub fn new(host: &'a Offer<'a>) -> Self {
        Self {
            host,
            interfaces: &[],
            transform: Transform::default(),
            preempt: false,
            steps: &|_| {},
            code: &|_, _| {},
        }
    }
}
