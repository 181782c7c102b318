//! HTTP/1.1 as data.
//!
//! A server has connections ([`Connection`]), on each of which requests come one after another and
//! are answered. A client has exchanges:
//!
//! An exchange is one request and its response over a connection of its own ([`Exchange`]). Its
//! position is plain data: bytes that are framed and not sent ([`Outgoing`]), bytes that were
//! received and not decoded, the state of the decoder, bytes of the body that were not read
//! (`incoming`). Nothing here waits or opens anything. Whoever drives an exchange lends it the
//! socket, which is one of the guest's descriptors, and asks what it waits for.
//!
//! Heads are parsed by `httparse`. Names, values and addresses are checked by the crate `http`, as
//! Wasmtime does. What goes over the connection is what hyper sends for the same message.

mod answer;
mod chunked;
mod connection;
mod exchange;
mod exchanges;
mod failure;
mod fields;
mod given;
mod head;
mod incoming;
mod lines;
mod outgoing;
mod request;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod timeouts;
mod tls;

pub(crate) use answer::{Answer, Date};
pub(crate) use connection::Connection;
pub(crate) use exchange::{Awaited, Exchange, Stage};
pub(crate) use exchanges::Exchanges;
pub(crate) use failure::Failure;
pub(crate) use fields::{Fields, FieldsError};
pub use given::HttpConnection;
pub(crate) use head::{Origin, Request, RequestError, ResponseHead, is_path_with_query};
pub(crate) use outgoing::{MessageKind, Outgoing, WriteError};
pub(crate) use request::ReceivedRequest;
pub(crate) use server::{Server, Single};
pub(crate) use timeouts::Timeouts;
