//! Standard output and the log.
//!
//! Lines of the log look as `simple-log` writes them. The library beneath it, log4rs, writes them:
//! `simple-log` takes nothing that could change a record. Each record becomes one line, in which
//! everything is escaped that a terminal obeys, since names and errors may come from a guest.
//!
//! Standard output is the guest's, and a program reads it. So where there is a log, descriptor 1
//! becomes standard error, for the log and for what libraries print. What is meant for standard
//! output goes to a duplicate of what it was before.

use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};
use log4rs::append::console::ConsoleAppender;
use log4rs::config::{Appender, Config, Logger, Root};
use log4rs::encode::pattern::PatternEncoder;
use rustix::stdio;
use simple_log::{DEFAULT_DATE_TIME_FORMAT, LogConfigBuilder};

use super::escape;
use crate::wasi::Output;

/// The name of the one appender.
const CONSOLE: &str = "console";

/// The crates whose log is shown. A logger's name stands for that crate and its modules alone.
const CRATES: [&str; 10] = [
    "dormouse",
    "dormouse_child",
    "dormouse_daemon",
    "dormouse_engine",
    "dormouse_instrument",
    "dormouse_model",
    "dormouse_snapshot",
    "dormouse_store",
    "dormouse_task",
    "dormouse_wasi",
];

/// What standard output was, where the log has taken its descriptor.
static STDOUT: OnceLock<File> = OnceLock::new();

/// Starts the log, if there is to be one. Without it only what a user must know is printed, by the
/// commands.
///
/// # Errors
/// Says why there is no log.
pub(crate) fn start_log(verbose: u8, daemon: bool) -> Result<(), String> {
    let level = match verbose {
        0 if daemon => "info",
        0 => return Ok(()),
        1 => "debug",
        _ => "trace",
    };
    move_stdout().map_err(|error| error.to_string())?;
    begin(level)
}

fn begin(level: &str) -> Result<(), String> {
    let settings = LogConfigBuilder::builder().level(level)?.build();
    // The form of a line is that of `simple-log`.
    let pattern =
        format!("{{d({DEFAULT_DATE_TIME_FORMAT})}} [{{h({{l:5}})}}] <{{M}}:{{L}}>:{{m}}{{n}}");
    // Standard output buffers a line, so that each line is one write. Standard error has no buffer.
    let console = ConsoleAppender::builder().encoder(Box::new(PatternEncoder::new(&pattern)));
    let config = Config::builder()
        .appender(Appender::builder().build(CONSOLE, Box::new(console.build())))
        .loggers(CRATES.map(|name| Logger::builder().build(name, settings.level.0)))
        // Of the engines, only what goes wrong.
        .build(Root::builder().appender(CONSOLE).build(LevelFilter::Warn));
    let logger = log4rs::Logger::new(config.map_err(|error| error.to_string())?);
    let level = logger.max_log_level();
    log::set_boxed_logger(Box::new(Lines(logger))).map_err(|error| error.to_string())?;
    log::set_max_level(level);
    Ok(())
}

/// Writes each record as one line that a terminal shows and does not obey.
struct Lines(log4rs::Logger);

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = escape::in_one_line(&record.args().to_string());
        self.0.log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .args(format_args!("{text}"))
                .module_path(record.module_path())
                .file(record.file())
                .line(record.line())
                .build(),
        );
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn move_stdout() -> io::Result<()> {
    let before = stdio::stdout().try_clone_to_owned()?;
    stdio::dup2_stdout(stdio::stderr())?;
    // Called once, at the start.
    let _ = STDOUT.set(before.into());
    Ok(())
}

/// Standard output for a guest.
pub(crate) fn guest_stdout() -> io::Result<Output> {
    match STDOUT.get() {
        Some(file) => file.try_clone().map(Output::File),
        None => Ok(Output::Inherit),
    }
}

/// Standard output for our own lines.
pub(crate) fn stdout() -> Box<dyn Write> {
    match STDOUT.get() {
        Some(file) => Box::new(file),
        None => Box::new(io::stdout()),
    }
}
