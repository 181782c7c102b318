//! What PostgreSQL's errors mean to whoever changes the store.

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use crate::error::Error;

/// The node's row is gone (`functions.sql`).
const FENCED: &str = "DM001";

/// Parts of a large blob are not there (`functions.sql`).
const NO_PARTS: &str = "DM002";

/// What a server says of a connection without TLS that it does not take; before PostgreSQL 14 it is
/// the second.
const PLAIN: [&str; 2] = ["no encryption", "SSL off"];

/// An error that nobody can reach the server.
pub(super) fn unreachable(reason: &str) -> Error {
    Error::Unreachable(reason.into())
}

/// Whether a blob's parts were not there.
pub(super) fn is_without_parts(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code.is_some_and(|code| code.code() == NO_PARTS)
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(told) => of_server(told),
            // Of the connection itself. What lies beneath says more.
            None => match error.source() {
                Some(source) => unreachable(&format!("{error}: {source}")),
                None => unreachable(&error.to_string()),
            },
        }
    }
}

fn of_server(error: &DbError) -> Error {
    let code = error.code();
    let text = error.message().to_string();
    match code.code() {
        FENCED => Error::Lost,
        // Out of disk, and out of what else the server has.
        "53100" => Error::Full,
        // Not serializable, and a deadlock: the server has taken everything back.
        "40001" | "40P01" => Error::Retry(text),
        // Read only, as a server is that is not the primary one (any more).
        "25006" => unreachable(&text),
        // Shutting down, crashing, starting; too many connections; connections themselves.
        other
            if ["57P", "53", "08"]
                .iter()
                .any(|class| other.starts_with(class)) =>
        {
            unreachable(&text)
        }
        _ if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            && PLAIN.iter().any(|word| text.contains(word)) =>
        {
            let hint = "it may take connections with TLS only: sslmode=require or verify-full";
            Error::Database(format!("{text}; {hint}"))
        }
        _ if *code == SqlState::LOCK_NOT_AVAILABLE => Error::Retry(text),
        other => Error::Database(format!("{text} ({other})")),
    }
}
