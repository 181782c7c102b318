//! Certificates that daemons make for themselves, and by whose fingerprints they know each other.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `identity` | a certificate with its key |
//! | `pinned` | TLS in which fingerprints alone count |

pub(crate) mod identity;
pub(crate) mod pinned;
