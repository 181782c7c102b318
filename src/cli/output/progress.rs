//! Progress of the work on a module that takes longer than a second: a bar on a terminal, else a
//! line at its beginning and one at its end.

use std::cell::OnceCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::output::say;
use crate::cli::signals::preparation::Preparation;
use crate::task::progress::{Observer, Work, begins, ended};

/// Shows nothing until a second has passed.
pub(crate) struct Bar {
    start: Instant,
    name: String,
    bar: OnceCell<ProgressBar>,
    /// From the first stage on, a signal ends the work.
    preparation: OnceCell<Option<Preparation>>,
}

impl Bar {
    /// A bar for work on the file of this name.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            start: Instant::now(),
            name: name.to_string(),
            bar: OnceCell::new(),
            preparation: OnceCell::new(),
        }
    }

    /// A bar for work that a daemon does.
    #[cfg(feature = "server")]
    pub(crate) fn elsewhere(name: &str) -> Self {
        let bar = Self::new(name);
        // The work is the daemon's: this process has no unfinished files to remove at a signal.
        let _ = bar.preparation.set(None);
        bar.stage("making it ready in the daemon", 0, 1);
        bar
    }

    /// The work is over. The caller gets what has listened to signals until now, and drops it as
    /// soon as something else listens.
    pub(crate) fn finish(mut self) -> Option<Preparation> {
        self.preparation.take().flatten()
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
        self.preparation.get_or_init(Preparation::start);
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
