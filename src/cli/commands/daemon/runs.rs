//! `dormouse runs`: the last runs of a task.

use std::time::Duration;

use crate::cli::args::daemon::Runs;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::format::{self, shortened};
use crate::cli::output::{self, out};
use crate::daemon::http::wire;

pub(super) fn runs(command: &Runs) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let found: wire::Runs = client.get(&format!("/v1/tasks/{}/runs", escaped(&command.id)))?;
    if output::as_json() {
        output::result(&found);
        return OK;
    }
    out!(
        "{:>6}  {:<24}  {:<24}  {:>10}  {:>9}  END",
        "RUN",
        "STARTED",
        "ENDED",
        "TOOK",
        "OUTPUT"
    );
    for run in &found.runs {
        let end = match (run.exit_code, &run.error) {
            (Some(code), None) => format!("exit code {code}"),
            (Some(code), Some(error)) => format!("exit code {code}: {}", shortened(error, 60)),
            (None, Some(error)) => shortened(error, 70),
            (None, None) => "goes on".into(),
        };
        let output = run.output_bytes.map_or("-".into(), format::bytes);
        out!(
            "{:>6}  {:<24}  {:<24}  {:>10}  {output:>9}  {end}",
            run.number,
            run.started.as_deref().unwrap_or("-"),
            run.ended.as_deref().unwrap_or("-"),
            run.seconds.map_or("-".into(), took),
        );
    }
    OK
}

/// Seconds in words, to the millisecond below a minute.
fn took(seconds: f64) -> String {
    // The daemon sends no negative number. If it did, it would be shown as 0 s.
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match time.as_secs() {
        0..60 => format!("{:.3}s", time.as_secs_f64()),
        whole => humantime::format_duration(Duration::from_secs(whole)).to_string(),
    }
}
