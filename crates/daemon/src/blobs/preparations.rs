//! Which modules are being made ready to run, how far that is, and which tasks wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::model::{Digest, TaskId};
use crate::task::{LogObserver, Observer, UnderWay, Work};

/// All that is being made ready.
#[derive(Debug, Default)]
pub(crate) struct Preparations {
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the number of the observer, with the digest under which it was asked for.
    works: HashMap<u64, (Digest, UnderWay)>,
    /// The tasks that are loaded now, with their modules.
    tasks: HashMap<TaskId, Digest>,
}

impl Preparations {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Observes work on a module: of its source, or of its resumable form.
    pub(crate) fn observer(self: &Arc<Self>, module: &Digest) -> PreparationObserver {
        PreparationObserver {
            log: LogObserver(format!("module {}", module.short())),
            all: self.clone(),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            module: *module,
        }
    }

    /// A task is loaded, until what this returns is dropped.
    pub(crate) fn loading(self: &Arc<Self>, id: TaskId, module: &Digest) -> LoadingTask {
        self.state().tasks.insert(id, *module);
        LoadingTask {
            all: self.clone(),
            id,
        }
    }

    /// What is done for a task that is loaded, if its module is not ready.
    pub(crate) fn of_task(&self, id: TaskId) -> Option<UnderWay> {
        let state = self.state();
        let module = state.tasks.get(&id)?;
        let mut works = state.works.values();
        // Of those who want the same, one does it, and the others wait.
        let of_module = works.clone().filter(|(digest, _)| digest == module);
        let mut doing = of_module.filter(|(_, under_way)| !under_way.elsewhere);
        let found = doing
            .next()
            .or_else(|| works.find(|(digest, _)| digest == module));
        found.map(|(_, under_way)| under_way.clone())
    }

    /// All that is done, by the digests under which it was asked for. What one does and others wait
    /// for is there once.
    pub(crate) fn all(&self) -> Vec<(Digest, UnderWay)> {
        let mut all: Vec<_> = self.state().works.values().cloned().collect();
        all.sort_by_key(|(digest, under_way)| (*digest, under_way.elsewhere));
        all.dedup_by_key(|(digest, _)| *digest);
        all
    }
}

/// Tells the log of work on a module, and those who ask how far it is.
pub(crate) struct PreparationObserver {
    log: LogObserver,
    all: Arc<Preparations>,
    number: u64,
    module: Digest,
}

impl Observer for PreparationObserver {
    fn step(&self, under_way: &UnderWay) {
        let found = (self.module, under_way.clone());
        self.all.state().works.insert(self.number, found);
        self.log.step(under_way);
    }

    fn begins(&self, work: Work, about: Duration) {
        self.log.begins(work, about);
    }

    fn ended(&self, work: Work, took: Duration) {
        self.all.state().works.remove(&self.number);
        self.log.ended(work, took);
    }
}

impl Drop for PreparationObserver {
    fn drop(&mut self) {
        self.all.state().works.remove(&self.number);
    }
}

/// Says that a task is loaded.
pub(crate) struct LoadingTask {
    all: Arc<Preparations>,
    id: TaskId,
}

impl Drop for LoadingTask {
    fn drop(&mut self) {
        self.all.state().tasks.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_the_work_on_its_module_until_it_ends() {
        let all = Arc::new(Preparations::default());
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let loading = all.loading(TaskId(1), &one);
        let loading_other = all.loading(TaskId(2), &other);
        assert!(all.of_task(TaskId(1)).is_none());
        let waiting = all.observer(&one);
        let left = Duration::from_secs(9);
        let elsewhere = UnderWay::reported(Work::Rewriting, "beginning", 0.1, left);
        waiting.step(&elsewhere);
        let doing = all.observer(&one);
        doing.step(&UnderWay::unknown(Work::Rewriting, "asyncify"));
        let step = |id| all.of_task(TaskId(id)).map(|found| found.step);
        assert_eq!(step(1).as_deref(), Some("asyncify"));
        assert_eq!((step(2), step(3)), (None, None));
        let steps = |all: &Preparations| -> Vec<_> {
            let all = all.all().into_iter();
            all.map(|(digest, found)| (digest, found.step)).collect()
        };
        assert_eq!(steps(&all), [(one, "asyncify".to_owned())]);
        // It failed.
        drop(doing);
        assert_eq!(steps(&all), [(one, "beginning".to_owned())]);
        waiting.ended(Work::Rewriting, Duration::ZERO);
        assert!(steps(&all).is_empty() && step(1).is_none());
        drop((loading, loading_other));
        assert!(all.state().tasks.is_empty());
    }
}
