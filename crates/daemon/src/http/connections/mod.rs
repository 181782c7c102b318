//! Connections, before a request is handled.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `accept` | accepts connections until that is stopped |
//! | `serving` | answers the requests of each connection |
//! | `tls` | the certificate of the API, where it speaks TLS |
//! | `auth` | who may ask |
//! | `bodies` | how large a request's body may be, and how slowly it may come |

pub mod accept;
pub(crate) mod auth;
pub(crate) mod bodies;
pub(crate) mod serving;
pub(crate) mod tls;
