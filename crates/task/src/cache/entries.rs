//! What the cache's small files say.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::error::TaskError;
use crate::instrument::{InstrumentedFunction, Report};
use crate::model::Digest;
use crate::module_bytes::stated_length;

/// Ties a source to its resumable module.
#[derive(Serialize, Deserialize)]
pub(crate) struct SourceEntry {
    pub(crate) module: Digest,
    /// The source's name for people, where it was known.
    pub(crate) name: Option<String>,
}

/// What was done with a module, as the cache keeps it. [`Report`] has the words.
#[derive(Serialize, Deserialize)]
struct KeptReport<'a> {
    functions: usize,
    /// Name and path of each. A large module has tens of megabytes of them.
    instrumented: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    blocking: Cow<'a, [String]>,
    source_bytes: usize,
    resumable_bytes: usize,
}

/// The most bytes of a report when it is unpacked.
const MOST_REPORT_BYTES: usize = 1 << 30;

/// A report from its file; `None` where it cannot be read.
pub(crate) fn unpack_report(packed: &[u8]) -> Option<Report> {
    let length = usize::try_from(stated_length(packed)?).ok()?;
    let length = Some(length).filter(|length| *length <= MOST_REPORT_BYTES)?;
    let report = zstd::bulk::decompress(packed, length).ok()?;
    let kept: KeptReport = rmp_serde::from_slice(&report).ok()?;
    let functions = kept.instrumented.into_iter();
    Some(Report {
        functions: kept.functions,
        instrumented: functions
            .map(|(name, path)| InstrumentedFunction {
                name: name.into_owned(),
                path: path.into_owned(),
            })
            .collect(),
        blocking: kept.blocking.into_owned(),
        source_bytes: kept.source_bytes,
        resumable_bytes: kept.resumable_bytes,
    })
}

/// A report for its file.
pub(crate) fn pack_report(report: &Report) -> Result<Vec<u8>, TaskError> {
    let functions = report.instrumented.iter();
    let report = KeptReport {
        functions: report.functions,
        instrumented: functions
            .map(|function| ((&*function.name).into(), (&*function.path).into()))
            .collect(),
        blocking: (&report.blocking).into(),
        source_bytes: report.source_bytes,
        resumable_bytes: report.resumable_bytes,
    };
    let report = rmp_serde::to_vec(&report).map_err(TaskError::Manifest)?;
    zstd::bulk::compress(&report, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(TaskError::Compress)
}
