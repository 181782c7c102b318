//! What each step of the work on a module has taken.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use dormouse_child as child;
use rustix::time::{ClockId, clock_gettime};

use super::observer::{Observer, Progress};
use super::under_way::UnderWay;
use super::work::Work;
use crate::engine::{EngineKind, Optimized};

/// What a step has taken.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Of which work it is a step.
    pub work: Work,
    /// The step's name.
    pub step: String,
    /// How long it took.
    pub wall: Duration,
    /// Processor time of this process and of its child processes.
    pub cpu: Duration,
    /// The most memory that was used at once, in bytes: this process's or a child process's,
    /// whichever had more. `None` where the system does not say.
    pub peak_memory: Option<u64>,
}

/// Keeps what each step takes, and tells another observer all that it is told. It is meant for a
/// process that does nothing else meanwhile.
pub struct Timings<'a> {
    told: Progress<'a>,
    steps: RefCell<Vec<Timing>>,
    open: RefCell<Option<Open>>,
}

/// The step that is under way.
struct Open {
    work: Work,
    step: String,
    began: Instant,
    cpu: Duration,
}

impl<'a> Timings<'a> {
    /// No step has been taken yet. `told` is told as well.
    pub fn new(told: Progress<'a>) -> Self {
        Self {
            told,
            steps: RefCell::default(),
            open: RefCell::default(),
        }
    }

    /// What each step has taken, in their order.
    pub fn into_steps(self) -> Vec<Timing> {
        self.close();
        self.steps.into_inner()
    }

    fn close(&self) {
        let Some(open) = self.open.take() else { return };
        let used = child::take_used();
        self.steps.borrow_mut().push(Timing {
            work: open.work,
            step: open.step,
            wall: open.began.elapsed(),
            cpu: own_cpu().saturating_sub(open.cpu) + used.cpu,
            peak_memory: own_peak().map(|peak| peak.max(used.peak_memory)),
        });
    }
}

impl Observer for Timings<'_> {
    fn step(&self, under_way: &UnderWay) {
        let goes_on = self
            .open
            .borrow()
            .as_ref()
            .is_some_and(|open| open.work == under_way.work && open.step == under_way.step);
        if !under_way.elsewhere && !goes_on {
            self.close();
            forget_peak();
            let _ = child::take_used();
            *self.open.borrow_mut() = Some(Open {
                work: under_way.work,
                step: under_way.step.clone(),
                began: Instant::now(),
                cpu: own_cpu(),
            });
        }
        self.told.step(under_way);
    }

    fn begins(&self, work: Work, about: Duration) {
        self.told.begins(work, about);
    }

    fn ended(&self, work: Work, took: Duration) {
        self.close();
        self.told.ended(work, took);
    }

    fn compiled(&self, engine: EngineKind, optimized: Optimized) {
        self.told.compiled(engine, optimized);
    }

    fn name(&self) -> Option<&str> {
        self.told.name()
    }
}

/// The processor time of all threads of this process.
fn own_cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    // It is never negative.
    let seconds = u64::try_from(used.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(used.tv_nsec).unwrap_or_default())
}

/// The most memory that this process has had since [`forget_peak`], in bytes: proc_pid_status(5).
fn own_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Forgets the most memory that this process has had: proc_pid_clear_refs(5).
fn forget_peak() {
    // Where the system does not allow it, the peak is that of all steps until now.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::observer::quiet;

    #[test]
    fn a_step_has_what_was_used_in_it() {
        let timings = Timings::new(&quiet);
        let step = |name: &str| timings.step(&UnderWay::unknown(Work::Rewriting, name));
        step("computing");
        let mut sum = 0_u64;
        while own_cpu() < Duration::from_millis(60) || sum < 1 << 24 {
            sum = std::hint::black_box(sum + 1);
        }
        // Told again, it is the same step.
        step("computing");
        step("in a child");
        let work = || {
            let began = own_cpu();
            let held = vec![1_u8; 64 << 20];
            while own_cpu().saturating_sub(began) < Duration::from_millis(50) {
                std::hint::black_box(&held);
            }
            Ok(Vec::new())
        };
        child::run(&child::Limits::default(), &work).expect("it runs");
        step("sleeping");
        std::thread::sleep(Duration::from_millis(30));
        let steps = timings.into_steps();
        let names: Vec<_> = steps.iter().map(|step| step.step.as_str()).collect();
        assert_eq!(names, ["computing", "in a child", "sleeping"]);
        assert!(steps[0].cpu > Duration::ZERO, "{steps:?}");
        assert!(steps[1].cpu >= Duration::from_millis(50), "{steps:?}");
        assert!(steps[1].peak_memory >= Some(64 << 20), "{steps:?}");
        assert!(steps[2].wall >= Duration::from_millis(30), "{steps:?}");
    }
}
