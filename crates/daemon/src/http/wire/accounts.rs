//! Tokens and tenants, as they travel.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use crate::access::audit::AuditEntry;
pub use crate::access::tenants::TenantRules;
use crate::store::Usage;

/// A token to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// A name that no other token has.
    pub name: String,
    /// metrics, read, submit, operator or admin.
    pub role: String,
    /// Whose it is; that of the token that asks if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// A token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it may do: metrics, read, submit, operator or admin.
    pub role: String,
    /// Whose it is.
    pub tenant: String,
    /// When it was made.
    pub created: String,
    /// The token itself, which is told once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A tenant to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// A name that no other tenant has.
    pub name: String,
    /// What it may have.
    #[serde(default)]
    pub rules: TenantRules,
}

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// What it may have.
    pub rules: TenantRules,
    /// What it has.
    pub used: Used,
}

/// What a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// Tasks.
    pub tasks: u64,
    /// Bytes in the store.
    pub bytes: u64,
    /// Bytes of output.
    pub output: u64,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        let Usage {
            tasks,
            bytes,
            output,
        } = usage;
        Self {
            tasks,
            bytes,
            output,
        }
    }
}
