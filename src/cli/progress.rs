//! Progress of the work on a module that takes longer than a second: a bar on a terminal, else a
//! line at its beginning and one at its end.

use std::cell::{OnceCell, RefCell};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::{Mutex, MutexGuard};

use crate::cli::output::say;
use crate::cli::signals::preparation::Preparation;
use crate::engine::{EngineKind, Optimized};
use crate::task::progress::{
    Observer, UnderWay, WORTH_TELLING, Work, awaited, begins, ended, not_optimized,
};

/// How often a bar is drawn.
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(200);

/// Work that takes longer is told, however short it was thought to be.
const SILENT_AT_MOST: Duration = Duration::from_secs(10);

/// The length of a bar in its own unit.
const BAR_LENGTH: u64 = 1000;

/// Shows nothing until a second has passed.
pub(crate) struct Bar {
    name: String,
    shown: Arc<Shown>,
    /// Draws, from the first step on.
    drawing: OnceCell<Drawing>,
    /// From the first step on, a signal ends the work.
    preparation: OnceCell<Option<Preparation>>,
    /// What is said once nothing is drawn any more.
    notes: RefCell<Vec<String>>,
}

/// What is shown, for the thread that draws as well.
struct Shown {
    name: String,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    under_way: Option<UnderWay>,
    /// How long the work is likely to take.
    about: Option<Duration>,
    /// The line for its beginning has been printed.
    is_told: bool,
}

/// The thread that draws.
struct Drawing {
    /// Dropped at the end.
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// A bar for work on the file of this name.
    pub(crate) fn new(name: &str) -> Self {
        let shown = Shown {
            name: name.to_string(),
            now: Mutex::default(),
        };
        Self {
            name: name.to_string(),
            shown: Arc::new(shown),
            drawing: OnceCell::new(),
            preparation: OnceCell::new(),
            notes: RefCell::default(),
        }
    }

    /// A bar for work that a daemon does.
    #[cfg(feature = "server")]
    pub(crate) fn elsewhere(name: &str) -> Self {
        let bar = Self::new(name);
        // The work is the daemon's: this process has no unfinished files to remove at a signal.
        let _ = bar.preparation.set(None);
        bar.step(&UnderWay::unknown(
            Work::Rewriting,
            "making it ready in the daemon",
        ));
        bar
    }

    /// Shows the daemon's work from another thread.
    #[cfg(feature = "server")]
    pub(crate) fn shower(&self) -> impl Fn(&UnderWay) + Send + use<> {
        let shown = self.shown.clone();
        move |under_way| shown.show(under_way)
    }

    /// The work is over. The caller gets what has listened to signals until now, and drops it as
    /// soon as something else listens.
    pub(crate) fn finish(mut self) -> Option<Preparation> {
        drop(self.drawing.take());
        for note in self.notes.take() {
            say!("{note}");
        }
        self.preparation.take().flatten()
    }
}

impl Shown {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock()
    }

    /// This is done now.
    fn show(&self, under_way: &UnderWay) {
        let mut now = self.now();
        let before = now.under_way.replace(under_way.clone());
        // Whoever waited does the work now, or the other way round; or it is the next work.
        let goes_on = |before: UnderWay| {
            before.elsewhere == under_way.elsewhere && before.work == under_way.work
        };
        if !before.is_some_and(goes_on) {
            (now.about, now.is_told) = (None, false);
        }
        if under_way.elsewhere && under_way.left() >= WORTH_TELLING {
            self.tell(&mut now);
        }
    }

    /// Prints the line for the beginning of the work, unless that has been done.
    fn tell(&self, now: &mut Now) {
        let Some(under_way) = now.under_way.as_ref().filter(|_| !now.is_told) else {
            return;
        };
        let (name, work) = (&self.name, under_way.work);
        let text = match (under_way.elsewhere, now.about) {
            (true, _) => awaited(name, work, under_way.left()),
            (false, Some(about)) => begins(name, work, about),
            (false, None) => return,
        };
        now.is_told = true;
        line(&text);
    }

    /// Draws until the sender has gone.
    fn draw(&self, over: &Receiver<()>) {
        let bar = ProgressBar::with_draw_target(Some(BAR_LENGTH), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:20}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(self.name.clone());
        while over.recv_timeout(BETWEEN_DRAWINGS) == Err(RecvTimeoutError::Timeout) {
            let mut now = self.now();
            // Most modules are done before anybody could read a bar.
            let shown = now.under_way.clone();
            let Some(under_way) = shown.filter(|under_way| under_way.took() >= WORTH_TELLING)
            else {
                continue;
            };
            // One that was thought to be short may take long on a machine that has much to do.
            if under_way.took() >= SILENT_AT_MOST {
                self.tell(&mut now);
            }
            drop(now);
            bar.set_position((under_way.share() * BAR_LENGTH as f64) as u64);
            bar.set_message(message(&under_way));
        }
        bar.finish_and_clear();
    }
}

/// What is being done, and how long is left.
fn message(under_way: &UnderWay) -> String {
    let step = &under_way.step;
    let place = if under_way.elsewhere {
        " in another process"
    } else {
        ""
    };
    match under_way.left().as_secs_f64().ceil() {
        0.0 => format!("{step}{place}"),
        seconds => format!("{step}{place}, about {seconds:.0} s left"),
    }
}

/// A line where no bar is shown.
fn line(line: &str) {
    if log::log_enabled!(log::Level::Info) {
        log::info!("{line}");
    } else if !std::io::stderr().is_terminal() {
        say!("{line}");
    }
}

impl Observer for Bar {
    fn step(&self, under_way: &UnderWay) {
        self.preparation.get_or_init(Preparation::start);
        let before = self.shown.now().under_way.clone();
        let goes_on = before.is_some_and(|before| before.step == under_way.step);
        if !under_way.elsewhere && !goes_on {
            log::debug!("{}: {} {}", self.name, under_way.work, under_way.step);
        }
        self.shown.show(under_way);
        self.drawing.get_or_init(|| Drawing::start(&self.shown));
    }

    fn begins(&self, _work: Work, about: Duration) {
        let mut now = self.shown.now();
        now.about = Some(about);
        if about >= WORTH_TELLING {
            self.shown.tell(&mut now);
        }
    }

    fn ended(&self, work: Work, took: Duration) {
        let mut now = self.shown.now();
        if now.is_told {
            line(&ended(&self.name, work, took));
        }
        *now = Now::default();
    }

    fn compiled(&self, engine: EngineKind, optimized: Optimized) {
        let note = not_optimized(&self.name, engine, optimized);
        self.notes.borrow_mut().extend(note);
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

impl Drawing {
    fn start(shown: &Arc<Shown>) -> Self {
        let (sender, over) = channel();
        let shown = shown.clone();
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || shown.draw(&over));
        Self {
            over: Some(sender),
            // Where the system gives no thread, nothing is drawn.
            thread: thread.ok(),
        }
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It returns nothing.
            let _ = thread.join();
        }
    }
}
