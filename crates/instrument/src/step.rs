//! The steps of an instrumentation, as an observer is told of them.

use std::fmt;

/// A step of an instrumentation. Steps come in the order of [`Step::ALL`]; a transform leaves out
/// those that it does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The source is checked for being a module.
    Reading,
    /// Checks go into loops and cycles of calls.
    Checks,
    /// The functions are found that may be on the stack at a suspend.
    Analysis,
    /// Plain code takes the place of what asyncify cannot do.
    Lowering,
    /// Binaryen's pass asyncify, in a process of its own.
    Asyncify,
    /// Each instrumented function becomes a fast and a slow one.
    Splitting,
    /// Binaryen's optimizing passes, in a process of their own.
    Optimizing,
    /// Bodies that Binaryen did not see are put back; state gets exports; the module is written.
    Writing,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 8] = [
        Self::Reading,
        Self::Checks,
        Self::Analysis,
        Self::Lowering,
        Self::Asyncify,
        Self::Splitting,
        Self::Optimizing,
        Self::Writing,
    ];

    /// Its name, in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Checks => "checks",
            Self::Analysis => "analysis",
            Self::Lowering => "lowering",
            Self::Asyncify => "asyncify",
            Self::Splitting => "splitting",
            Self::Optimizing => "optimizing",
            Self::Writing => "writing",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use dormouse_model::ValType;

    use super::*;
    use crate::{HostFunction, Options, Transform, instrument};

    /// The steps that the instrumentation of a module has.
    fn steps(transform: Transform, preempt: bool) -> Vec<Step> {
        let source = wat::parse_str(
            r#"(module
              (import "m" "wait" (func $wait))
              (func (export "_start") (loop (call $wait) (br 0))))"#,
        )
        .expect("it is a module");
        let host = |_: &str, _: &str, _: &[ValType]| {
            Some(HostFunction {
                params: vec![],
                results: vec![],
                blocks: true,
            })
        };
        let told = RefCell::new(Vec::new());
        let options = Options {
            transform,
            preempt,
            steps: &|step| told.borrow_mut().push(step),
            ..Options::new(&host)
        };
        instrument(&source, &options).expect("it can be made resumable");
        told.into_inner()
    }

    #[test]
    fn each_transform_has_its_steps_in_their_order() {
        use Step::{Analysis, Asyncify, Checks, Lowering, Optimizing, Reading, Splitting, Writing};
        assert_eq!(
            steps(Transform::None, true),
            [Reading, Analysis, Lowering, Writing]
        );
        assert_eq!(
            steps(Transform::Native, false),
            [Reading, Analysis, Lowering, Splitting, Writing]
        );
        if cfg!(feature = "binaryen") {
            assert_eq!(
                steps(Transform::TwoVersion, true),
                [
                    Reading, Checks, Analysis, Lowering, Asyncify, Splitting, Writing
                ]
            );
            assert_eq!(
                steps(Transform::Plain, false),
                [Reading, Analysis, Lowering, Asyncify, Optimizing, Writing]
            );
            assert_eq!(
                steps(Transform::Reference, false),
                [Reading, Analysis, Lowering, Asyncify, Writing]
            );
        }
    }

    #[test]
    fn all_steps_are_in_their_order_and_have_names_of_their_own() {
        let mut sorted = Step::ALL.to_vec();
        sorted.sort();
        sorted.dedup_by_key(|step| step.name());
        assert_eq!(sorted, Step::ALL);
    }
}
