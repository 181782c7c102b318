//! A bar for work that takes longer than a second.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows nothing until a second has passed.
pub(super) struct Bar {
    start: Instant,
    name: String,
    bar: OnceCell<ProgressBar>,
}

impl Bar {
    /// A bar for work on the file of this name.
    pub(super) fn new(name: &str) -> Self {
        Self {
            start: Instant::now(),
            name: name.to_string(),
            bar: OnceCell::new(),
        }
    }

    /// A stage begins.
    pub(super) fn stage(&self, stage: &str, number: usize, stages: usize) {
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
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
