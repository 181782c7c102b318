//! What is shown of work on a module that takes longer than a second: a bar on a terminal, else a line at its beginning
//! and one at its end.

use std::cell::OnceCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::making::Making;
use super::text::say;
use crate::task::progress::{Observer, Work, begins, ended};

/// Shows nothing until a second has passed.
pub(super) struct Bar {
    start: Instant,
    name: String,
    bar: OnceCell<ProgressBar>,
    /// From the first stage on, a signal ends the work.
    making: OnceCell<Option<Making>>,
}

impl Bar {
    /// A bar for work on the file of this name.
    pub(super) fn new(name: &str) -> Self {
        Self {
            start: Instant::now(),
            name: name.to_string(),
            bar: OnceCell::new(),
            making: OnceCell::new(),
        }
    }

    /// A bar for work that a daemon does.
    #[cfg(feature = "server")]
    pub(super) fn elsewhere(name: &str) -> Self {
        let bar = Self::new(name);
        // Nothing of it is here that a signal could leave behind.
        let _ = bar.making.set(None);
        bar.stage("making it ready in the daemon", 0, 1);
        bar
    }

    /// The work is over. What listens to signals until now is given back: it has to go when somebody else listens.
    pub(super) fn finish(mut self) -> Option<Making> {
        self.making.take().flatten()
    }

    /// A line where no bar is shown.
    fn line(&self, line: &str) {
        if log::log_enabled!(log::Level::Info) {
            log::info!("{line}");
        } else if !std::io::stderr().is_terminal() {
            say!("{line}");
        }
    }
}

impl Observer for Bar {
    /// A stage begins.
    fn stage(&self, stage: &str, number: usize, stages: usize) {
        self.making.get_or_init(Making::start);
        log::debug!("{}: {stage} ({:.1?})", self.name, self.start.elapsed());
        let bar = self.bar.get_or_init(|| {
            let bar =
                ProgressBar::with_draw_target(Some(stages as u64), ProgressDrawTarget::hidden());
            let style = "{prefix} [{bar:20}] {msg} {elapsed}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(self.name.clone());
            let later = bar.clone();
            // Most modules are done before anybody could read a bar.
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(1));
                if !later.is_finished() {
                    later.set_draw_target(ProgressDrawTarget::stderr());
                    later.enable_steady_tick(Duration::from_millis(200));
                }
            });
            bar
        });
        bar.set_position(number as u64);
        bar.set_message(stage.to_string());
    }

    fn begins(&self, work: Work, about: Duration) {
        self.line(&begins(&self.name, work, about));
    }

    fn ended(&self, work: Work, took: Duration) {
        self.line(&ended(&self.name, work, took));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
