//! `dormouse compose`: several components become one.

use serde_json::json;

use crate::cli::args::Compose;
use crate::cli::exit::{Done, Failure, OK, WRITE};
use crate::cli::module_file::{self, file_name};
use crate::cli::output::format::bytes;
use crate::cli::output::{self, out};
use crate::error::Error;
use crate::instrument::{self, Named};
use crate::task::write_file;

pub(crate) fn compose(command: &Compose) -> Result<Done, Failure> {
    let mut sources = Vec::new();
    for path in &command.components {
        let name = file_name(&path.to_string_lossy());
        sources.push((name, module_file::read(path)?));
    }
    let components: Vec<Named<'_>> = sources
        .iter()
        .map(|(name, bytes)| Named { name, bytes })
        .collect();
    let composed = instrument::compose(&components).map_err(Error::from)?;
    write_file(&command.output, &composed).map_err(|error| {
        let path = command.output.display();
        Failure::new(WRITE, format!("cannot write {path}: {error}"))
    })?;
    if output::as_json() {
        output::result(&json!({
            "output": command.output.to_string_lossy(),
            "components": components.len(),
            "bytes": composed.len(),
        }));
    } else {
        out!(
            "{}: {} components, {}",
            command.output.display(),
            components.len(),
            bytes(composed.len() as u64)
        );
    }
    OK
}
