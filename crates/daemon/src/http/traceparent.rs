//! The trace context of whoever asks.

use axum::http::HeaderMap;

use crate::model::TraceContext;

/// What a request's `traceparent` says. One that cannot be read counts as none, as W3C Trace Context
/// has it, and so do several.
pub(super) fn given(headers: &HeaderMap) -> Option<TraceContext> {
    let mut all = headers.get_all("traceparent").iter();
    let given = all.next()?.to_str().ok()?;
    all.next().is_none().then(|| given.parse().ok()).flatten()
}
