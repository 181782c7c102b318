//! Whoever is told of the work on a module, and the lines that people read.

use std::time::Duration;

use super::under_way::UnderWay;
use super::work::Work;
use crate::engine::{EngineKind, Optimized};

/// Work that takes less is not spoken of.
pub const WORTH_TELLING: Duration = Duration::from_secs(1);

/// The line for the beginning of work on a module.
pub fn begins(name: &str, work: Work, about: Duration) -> String {
    let seconds = about.as_secs_f64().ceil().max(1.0);
    format!("making {name} {work}: once, about {seconds:.0} s")
}

/// The line for its end.
pub fn ended(name: &str, work: Work, took: Duration) -> String {
    format!(
        "{name} is {work} now: it took {:.0} s",
        took.as_secs_f64().ceil()
    )
}

/// The line for work that another process does already.
pub fn awaited(name: &str, work: Work, left: Duration) -> String {
    let seconds = left.as_secs_f64().ceil().max(1.0);
    format!("another process makes {name} {work}: about {seconds:.0} s more")
}

/// The line for machine code of which not all is optimized.
pub fn not_optimized(name: &str, engine: EngineKind, optimized: Optimized) -> Option<String> {
    let how = match optimized {
        Optimized::All => return None,
        Optimized::ButSlowVersions => "optimizes all but what runs after a resume alone",
        Optimized::Nothing => "optimizes nothing, so that it runs slower",
    };
    Some(format!("{name} is large: {engine} {how}"))
}

/// Told what is being done with a module. A function of an [`UnderWay`] is an observer that hears of
/// the steps alone.
pub trait Observer {
    /// A step of the work begins, or it is known better how long it takes. Of work elsewhere this
    /// tells again and again, until it is over.
    fn step(&self, under_way: &UnderWay);

    /// Work begins, which is likely to take the time `_about`.
    fn begins(&self, _work: Work, _about: Duration) {}

    /// That work has been done, here or elsewhere.
    fn ended(&self, _work: Work, _took: Duration) {}

    /// An engine has compiled a module, and so much of the machine code is optimized.
    fn compiled(&self, _engine: EngineKind, _optimized: Optimized) {}

    /// The module's name for people. The cache keeps it beside the module.
    fn name(&self) -> Option<&str> {
        None
    }
}

impl<F: Fn(&UnderWay)> Observer for F {
    fn step(&self, under_way: &UnderWay) {
        self(under_way);
    }
}

/// Told what is being done.
pub type Progress<'a> = &'a dyn Observer;

/// No one wants to know.
pub fn quiet(_: &UnderWay) {}

/// Tells the log. The text is the module's name there.
pub struct LogObserver(pub String);

impl Observer for LogObserver {
    fn step(&self, under_way: &UnderWay) {
        if !under_way.elsewhere {
            log::debug!("{}: {}", self.0, under_way.step);
        }
    }

    fn begins(&self, work: Work, about: Duration) {
        if about >= WORTH_TELLING {
            log::info!("{}", begins(&self.0, work, about));
        }
    }

    fn ended(&self, work: Work, took: Duration) {
        if took >= WORTH_TELLING {
            log::info!("{}", ended(&self.0, work, took));
        }
    }

    fn compiled(&self, engine: EngineKind, optimized: Optimized) {
        if let Some(line) = not_optimized(&self.0, engine, optimized) {
            log::info!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_say_what_and_how_long() {
        let about = Duration::from_millis(1200);
        let wasmtime = Work::Compiling(EngineKind::Wasmtime);
        assert_eq!(
            begins("x.wasm", Work::Rewriting, about),
            "making x.wasm resumable: once, about 2 s"
        );
        assert_eq!(
            begins("x.wasm", wasmtime, about),
            "making x.wasm ready for wasmtime: once, about 2 s"
        );
        assert_eq!(
            ended("x.wasm", Work::Rewriting, about),
            "x.wasm is resumable now: it took 2 s"
        );
        assert_eq!(
            awaited("x.wasm", wasmtime, about),
            "another process makes x.wasm ready for wasmtime: about 2 s more"
        );
        let large = |optimized| not_optimized("x.wasm", EngineKind::WasmEdge, optimized);
        assert_eq!(large(Optimized::All), None);
        assert_eq!(
            large(Optimized::ButSlowVersions).as_deref(),
            Some("x.wasm is large: wasmedge optimizes all but what runs after a resume alone")
        );
        assert_eq!(
            large(Optimized::Nothing).as_deref(),
            Some("x.wasm is large: wasmedge optimizes nothing, so that it runs slower")
        );
    }
}
