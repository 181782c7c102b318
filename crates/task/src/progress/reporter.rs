//! Tells an observer, and other processes, of the steps of a work.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::observer::Progress;
use super::under_way::{UnderWay, now};
use super::work::Work;
use crate::instrument::{self, Transform};

/// A step of the work on a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One of the instrumentation.
    Instrument(instrument::Step),
    /// The resumable module is compressed and put into the cache.
    Keeping,
    /// An engine makes machine code.
    Compiling,
    /// The machine code is loaded.
    Loading,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Instrument(step) => step.name(),
            Self::Keeping => "keeping",
            Self::Compiling => "compiling",
            Self::Loading => "loading",
        }
    }

    /// The share of its work's time that it takes, as measured with SQLite.
    fn weight(self) -> f64 {
        use instrument::Step as I;
        match self {
            Self::Instrument(I::Asyncify) => 0.80,
            Self::Instrument(I::Splitting) => 0.10,
            Self::Compiling => 0.98,
            _ => 0.02,
        }
    }

    /// The steps of a work, in their order.
    fn all(work: Work) -> Vec<Self> {
        match work {
            Work::Rewriting => {
                let steps = instrument::Step::ALL.into_iter();
                steps.map(Self::Instrument).chain([Self::Keeping]).collect()
            }
            Work::Compiling(_) => vec![Self::Compiling, Self::Loading],
        }
    }
}

/// Tells of a work from its beginning to its end.
pub(crate) struct Reporter<'a> {
    progress: Progress<'a>,
    /// Tells other processes, which wait for it, how far the work is.
    note: &'a dyn Fn(&UnderWay),
    work: Work,
    began: Duration,
    /// How long all of it is going to take, and the step that is under way.
    state: RefCell<(Duration, Option<UnderWay>)>,
}

impl<'a> Reporter<'a> {
    /// Work begins on `bytes` bytes of code.
    pub(crate) fn new(
        progress: Progress<'a>,
        note: &'a dyn Fn(&UnderWay),
        work: Work,
        bytes: u64,
    ) -> Self {
        Self {
            progress,
            note,
            work,
            began: now(),
            state: RefCell::new((work.about(bytes), None)),
        }
    }

    /// It is so much code, which is told. From here on it can be said how long the work takes.
    pub(crate) fn begins(&self, bytes: u64) {
        self.begins_about(self.work.about(bytes));
    }

    /// The same where that much code is rewritten by this transform.
    pub(crate) fn begins_rewriting(&self, bytes: u64, transform: Transform) {
        self.begins_about(Work::about_rewriting(bytes, transform));
    }

    fn begins_about(&self, about: Duration) {
        self.state.borrow_mut().0 = about;
        self.progress.begins(self.work, about);
        let step = self.state.borrow().1.as_ref().and_then(|under_way| {
            let mut steps = Step::all(self.work).into_iter();
            steps.find(|step| step.name() == under_way.step)
        });
        if let Some(step) = step {
            self.tell(step, false);
        }
    }

    /// A step begins.
    pub(crate) fn step(&self, step: Step) {
        self.tell(step, true);
    }

    fn tell(&self, step: Step, begins: bool) {
        let (about, before) = self.state.borrow().clone();
        let steps = Step::all(self.work);
        let after = steps.iter().skip_while(|other| **other != step).skip(1);
        let after: f64 = after.map(|step| step.weight()).sum();
        let under_way = UnderWay {
            work: self.work,
            step: step.name().into(),
            elsewhere: false,
            work_began: self.began,
            step_began: before
                .filter(|_| !begins)
                .map_or_else(now, |before| before.step_began),
            expected: scaled(about, step.weight()),
            expected_after: scaled(about, after),
        };
        (self.note)(&under_way);
        self.state.borrow_mut().1 = Some(under_way.clone());
        self.progress.step(&under_way);
    }

    /// It has been done.
    pub(crate) fn ended(&self) {
        self.progress
            .ended(self.work, now().saturating_sub(self.began));
    }
}

/// Tells of a work that is done elsewhere while it is waited for.
pub(crate) struct Waiting<'a> {
    progress: Progress<'a>,
    work: Work,
    began: Cell<Option<Duration>>,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(progress: Progress<'a>, work: Work) -> Self {
        Self {
            progress,
            work,
            began: Cell::new(None),
        }
    }

    /// It is not done yet. The other one may say how far it is.
    pub(crate) fn look(&self, found: Option<UnderWay>) {
        let began = self.began.get().unwrap_or_else(now);
        self.began.set(Some(began));
        let found = found.unwrap_or_else(|| UnderWay {
            work_began: began,
            ..UnderWay::unknown(self.work, "beginning")
        });
        self.progress.step(&UnderWay {
            elsewhere: true,
            ..found
        });
    }

    /// It has been done, if it was waited for.
    pub(crate) fn over(&self) {
        if let Some(began) = self.began.get() {
            self.progress.ended(self.work, now().saturating_sub(began));
        }
    }
}

/// A share of a time. The weights of a work are about 1 together.
fn scaled(about: Duration, weight: f64) -> Duration {
    let seconds = about.as_secs_f64() * weight;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineKind;

    #[test]
    fn the_weights_of_a_work_are_one_together() {
        for work in [Work::Rewriting, Work::Compiling(EngineKind::Wasmtime)] {
            let sum: f64 = Step::all(work).into_iter().map(Step::weight).sum();
            assert!((0.9..1.1).contains(&sum), "{work}: {sum}");
        }
    }

    #[test]
    fn the_rest_gets_less_step_by_step() {
        let told = RefCell::new(Vec::new());
        let progress = |under_way: &UnderWay| told.borrow_mut().push(under_way.left());
        let reporter = Reporter::new(&progress, &|_| {}, Work::Rewriting, 100 << 20);
        for step in Step::all(Work::Rewriting) {
            reporter.step(step);
        }
        let told = told.into_inner();
        assert_eq!(told.len(), Step::all(Work::Rewriting).len());
        assert!(
            told.is_sorted_by(|before, after| before > after),
            "{told:?}"
        );
    }
}
