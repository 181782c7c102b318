//! Sentences of the OpenAPI document that several paths share.

use utoipa::ToSchema;

/// What `{id}` is.
pub(super) const TASK: &str = "The task's number, or its name";

/// What 409 says, and 502.
pub(super) const CONFLICT: &str = "The task's state does not allow it";
pub(super) const UNREACHED: &str =
    "The other daemon cannot be reached, or does not take the task, which stays here";

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(super) struct Binary(#[expect(dead_code, reason = "only its description is used")] Vec<u8>);

/// The header by which a submitter names its span.
pub(super) const TRACEPARENT: &str = "The span that submits it, as in W3C Trace Context";
