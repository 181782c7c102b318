//! `dormouse serve-http`.

use super::run;
use crate::cli::args::ServeHttp;
use crate::cli::exit::{Done, Failure};

/// Runs a component that is given an address to answer HTTP requests at.
pub(crate) fn serve_http(command: ServeHttp) -> Result<Done, Failure> {
    let ServeHttp {
        listen,
        per_request,
        max_instances,
        mut run,
    } = command;
    run.grants.network.http = Some(listen);
    match per_request {
        true => run::run_per_request(run, max_instances),
        false => run::run(run),
    }
}
