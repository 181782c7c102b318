//! Who may ask for what: tokens with roles, which belong to tenants.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `audit` | the log of who did what |
//! | `caller` | who asks, and whose tasks that may see |
//! | `routes` | the one table of which role each path needs |
//! | `tokens` | whose a token is |
//! | `tenants` | what tenants may have: quotas and grants |

pub(crate) mod audit;
pub(crate) mod caller;
pub(crate) mod routes;
pub(crate) mod tenants;
pub(crate) mod tokens;
