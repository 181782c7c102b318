//! Who asks.

use serde::{Deserialize, Serialize};

use crate::model::{Role, TenantId};

/// The name of the token in the daemon's directory.
pub(crate) const OWN_TOKEN: &str = "daemon";

/// Who asks, as the token says. A node tells it to another one with what it passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Caller {
    /// The token's name.
    pub(crate) token: String,
    pub(crate) role: Role,
    /// Whose new tasks are, and where names are looked for.
    pub(crate) tenant: TenantId,
    /// That tenant's name.
    pub(crate) tenant_name: String,
    /// An admin who acts for a tenant sees what that tenant sees.
    pub(crate) acts_for: bool,
}

impl Caller {
    /// Whoever has the token in the daemon's directory.
    pub(crate) fn own() -> Self {
        Self {
            token: OWN_TOKEN.into(),
            role: Role::Admin,
            tenant: TenantId::DEFAULT,
            tenant_name: TenantId::DEFAULT_NAME.into(),
            acts_for: false,
        }
    }

    /// Whose tasks it may see; `None` is everybody's.
    pub(crate) fn scope(&self) -> Option<TenantId> {
        match self.role {
            Role::Admin if !self.acts_for => None,
            _ => Some(self.tenant),
        }
    }

    /// Whose numbers it may see. Whoever has the role for numbers alone sees those of all.
    pub(crate) fn scope_of_metrics(&self) -> Option<TenantId> {
        match self.role {
            Role::Metrics => None,
            _ => self.scope(),
        }
    }
}
