//! What requests are taken from and answered with, and how a refusal looks: JSON with the reason.

use std::sync::Arc;

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::json::{Sort, Unread};
use super::served::Served;
use super::wire::Problem;
use crate::access::caller::Caller;
use crate::error::Error as DaemonError;
use crate::model::TaskId;
use crate::model::error::{Error, ErrorKind};
use crate::peers::Peers;
use crate::store::Error as StoreError;

pub(super) type ServedState = State<Arc<Served>>;

/// The numbers of tasks that a request has added, behind its answer, for the audit log.
#[derive(Clone, Debug)]
pub(super) struct Added(pub(super) Vec<u64>);

/// Who asks, as `connections::auth` has found out.
pub(super) type Asking = Extension<Arc<Caller>>;

pub(super) type Answer<T> = Result<T, Refused>;

/// A request that failed.
pub(super) struct Refused {
    status: StatusCode,
    text: String,
    field: Option<String>,
    kind: Option<ErrorKind>,
    /// Another node has the task.
    elsewhere: bool,
}

/// An answer with this header says that another node has the task.
pub(super) const ELSEWHERE: HeaderName = HeaderName::from_static("dormouse-elsewhere");

impl Refused {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            field: None,
            kind: None,
            elsewhere: false,
        }
    }

    /// The same refusal, with this kind of error.
    pub(super) fn of(self, kind: ErrorKind) -> Self {
        let kind = Some(kind);
        Self { kind, ..self }
    }

    /// The same refusal, with another status.
    pub(super) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = Problem {
            error: shortened(self.text),
            field: self.field.map(shortened),
            kind: self.kind.map(|kind| kind.name().to_string()),
        };
        let mut response = (self.status, Json(problem)).into_response();
        if self.elsewhere {
            let value = HeaderValue::from_static("1");
            response.headers_mut().insert(ELSEWHERE, value);
        }
        response
    }
}

impl From<Unread> for Refused {
    fn from(unread: Unread) -> Self {
        let (status, kind) = match unread.sort {
            Sort::Shape => (StatusCode::UNPROCESSABLE_ENTITY, None),
            Sort::Word => (StatusCode::BAD_REQUEST, Some(ErrorKind::Request)),
            Sort::Length => (StatusCode::PAYLOAD_TOO_LARGE, Some(ErrorKind::Limit)),
        };
        Self {
            status,
            text: unread.error,
            field: Some(unread.field).filter(|field| !field.is_empty()),
            kind,
            elsewhere: false,
        }
    }
}

impl From<DaemonError> for Refused {
    fn from(error: DaemonError) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let cause = error.cause::<DaemonError>();
        let status = match error.kind() {
            _ if matches!(
                cause,
                Some(DaemonError::NoTask(_) | DaemonError::NoTenant(_))
            ) =>
            {
                StatusCode::NOT_FOUND
            }
            _ if matches!(cause, Some(DaemonError::Quota { .. })) => StatusCode::TOO_MANY_REQUESTS,
            _ if matches!(cause, Some(DaemonError::NotGranted { .. })) => StatusCode::FORBIDDEN,
            _ if matches!(cause, Some(DaemonError::TenantInUse(_))) => StatusCode::CONFLICT,
            ErrorKind::Task => StatusCode::CONFLICT,
            // The same may work in a moment, and the disk is not full.
            _ if matches!(
                error.cause(),
                Some(StoreError::Unreachable(_) | StoreError::InDoubt(_) | StoreError::Retry(_))
            ) =>
            {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Write => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Limit => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Peer => StatusCode::BAD_GATEWAY,
            ErrorKind::Store | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let field = cause.and_then(|cause| cause.field()).map(String::from);
        let elsewhere = matches!(cause, Some(DaemonError::Elsewhere(_)));
        Self {
            status,
            text: error.to_string(),
            field,
            kind: Some(error.kind()),
            elsewhere,
        }
    }
}

macro_rules! refused_from {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Refused {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), rejection.body_text())
            }
        }
    )*};
}
refused_from!(JsonRejection, PathRejection, QueryRejection, BytesRejection);

/// The task that a path names, by its ID or its name. What the caller may not see is not there.
pub(super) async fn find(served: &Served, caller: &Caller, id: &str) -> Answer<TaskId> {
    let found = served.daemon.find_for(caller.tenant, id).await?;
    if let Some(tenant) = caller.scope()
        && served.daemon.tenant_of(found).await? != Some(tenant)
    {
        return Err(DaemonError::NoTask(id.into()).into());
    }
    Ok(found)
}

/// Other daemons, of a daemon that was started with peers.
pub(super) fn known_peers(served: &Served) -> Answer<&Arc<Peers>> {
    let without = || bad("this daemon was started without peers");
    served.peers.as_ref().ok_or_else(without)
}

/// JSON, or the problem with it in our own form.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(Refused))]
pub(super) struct Body<T>(pub(super) T);

/// A part of the path, or the problem with it in our own form.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refused))]
pub(super) struct Path<T>(pub(super) T);

/// A query, or the problem with it in our own form.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Refused))]
pub(super) struct QueryOf<T>(pub(super) T);

pub(super) fn problem(status: StatusCode, text: &str) -> Response {
    Refused::new(status, text).into_response()
}

/// At most this many bytes of a message are kept at its beginning and at its end, because it may
/// quote what was sent.
const MESSAGE_END_BYTES: usize = 2048;

/// A message, with its middle cut out where it is too long.
pub(super) fn shortened(text: String) -> String {
    if text.len() <= 2 * MESSAGE_END_BYTES {
        return text;
    }
    let start = &text[..text.floor_char_boundary(MESSAGE_END_BYTES)];
    let end = &text[text.ceil_char_boundary(text.len() - MESSAGE_END_BYTES)..];
    format!("{start}…{end}")
}

/// What is answered where no path is known.
pub(super) async fn no_path() -> Response {
    let text = "there is no such path; GET /openapi.json describes those that there are";
    problem(StatusCode::NOT_FOUND, text)
}

/// What is answered where a path does not take a method. The header `Allow` says which it takes.
pub(super) async fn no_method() -> Response {
    let text = "this path does not take this method; the header `Allow` names those that it takes";
    problem(StatusCode::METHOD_NOT_ALLOWED, text)
}

pub(super) fn missing(text: impl Into<String>) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, text)
}

pub(super) fn bad(text: impl Into<String>) -> Refused {
    Refused {
        kind: Some(ErrorKind::Request),
        ..Refused::new(StatusCode::BAD_REQUEST, text)
    }
}

pub(super) fn bad_field(field: &str, text: impl Into<String>) -> Refused {
    let field = Some(field.into());
    Refused { field, ..bad(text) }
}
