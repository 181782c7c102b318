//! `dormouse compose`: several components become one.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::args::Compose;
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::module_file::{self, file_name};
use crate::cli::output::format::bytes;
use crate::cli::output::{self, out};
use crate::cli::task_file;
use crate::error::Error;
use crate::instrument::{self, Named};

pub(crate) fn compose(command: &Compose) -> Result<Done, Failure> {
    let (composed, count) = match &command.config {
        Some(file) => task_file::linked(file)?,
        None => (by_name(&command.components)?, command.components.len()),
    };
    module_file::write(&command.output, &composed)?;
    if output::as_json() {
        output::result(&json!({
            "output": command.output.to_string_lossy(),
            "components": count,
            "bytes": composed.len(),
        }));
    } else {
        out!(
            "{}: {} components, {}",
            command.output.display(),
            count,
            bytes(composed.len() as u64)
        );
    }
    OK
}

/// Links components as the names of their imports and exports say.
fn by_name(paths: &[PathBuf]) -> Result<Vec<u8>, Failure> {
    let mut sources = Vec::new();
    for path in paths {
        let name = file_name(&path.to_string_lossy());
        sources.push((name, module_file::read(path)?));
    }
    let components: Vec<Named<'_>> = sources
        .iter()
        .map(|(name, bytes)| Named { name, bytes })
        .collect();
    Ok(instrument::compose(&components).map_err(Error::from)?)
}
