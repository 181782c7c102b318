//! The resources of `wasi:http`, as data. `fields` are those of the room `http`.

use serde::{Deserialize, Serialize};

use super::abi::variant;
use crate::http::{Fields, Timeouts};

variant! { Lift Lower:
    /// What a request asks for.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    enum Method {
        Get(()) = 0,
        Head(()) = 1,
        Post(()) = 2,
        Put(()) = 3,
        Delete(()) = 4,
        Connect(()) = 5,
        Options(()) = 6,
        Trace(()) = 7,
        Patch(()) = 8,
        Other(String) = 9,
    }
}

variant! { Lift Lower:
    /// How a request goes.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    enum Scheme {
        Http(()) = 0,
        Https(()) = 1,
        Other(String) = 2,
    }
}

/// What a request asks for, and of whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<String>,
    pub(crate) path_with_query: Option<String>,
}

/// A request that the guest puts together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingRequest {
    pub(crate) target: Box<Target>,
    pub(crate) headers: Fields,
    /// The message whose body the guest has asked for.
    pub(crate) message: Option<u64>,
}

/// How long a request may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestOptions {
    pub(crate) timeouts: Timeouts,
}

/// A response that is going to come, by its exchange; `None` once it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FutureIncomingResponse {
    pub(crate) exchange: Option<u64>,
}

/// A response that has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncomingResponse {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    /// Its exchange, as long as the guest has not asked for the body.
    pub(crate) exchange: Option<u64>,
}

/// A request that has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncomingRequest {
    pub(crate) target: Box<Target>,
    pub(crate) headers: Fields,
    /// Its exchange, as long as the guest has not asked for the body.
    pub(crate) exchange: Option<u64>,
}

/// Where the response to a request that has come goes: its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResponseOutparam {
    pub(crate) exchange: u64,
}

/// A response that the guest puts together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingResponse {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    /// The message whose body the guest has asked for.
    pub(crate) message: Option<u64>,
}

/// The body of a message that has come, by its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncomingBody {
    pub(crate) exchange: u64,
    /// The guest has its stream.
    pub(crate) has_stream: bool,
}

/// What comes behind a body, by its exchange; `None` once it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FutureTrailers {
    pub(crate) exchange: Option<u64>,
}

/// The body of a message that the guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingBody {
    pub(crate) message: u64,
    /// The guest has its stream.
    pub(crate) has_stream: bool,
}
