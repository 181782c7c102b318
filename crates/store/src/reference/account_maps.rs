//! The maps of tokens and tenants.

use crate::accounts::{TenantRow, TokenRow};
use crate::model::TenantId;

/// Who may ask.
#[derive(Clone)]
pub(super) struct AccountMaps {
    pub(super) tokens: Vec<TokenRow>,
    pub(super) tenants: Vec<TenantRow>,
    /// The number of the last tenant.
    pub(super) last: u64,
}

impl Default for AccountMaps {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            tenants: vec![TenantRow {
                id: TenantId::DEFAULT,
                name: TenantId::DEFAULT_NAME.into(),
                details: Vec::new(),
            }],
            last: 0,
        }
    }
}
