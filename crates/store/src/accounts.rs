//! Who may ask a daemon: tenants, and tokens that belong to them. A store keeps digests of tokens
//! alone.

use crate::change::Verdict;
use crate::error::Error;
use crate::model::{Role, TaskId, TenantId, Timestamp};

/// The SHA-256 digest of a token.
pub type TokenDigest = [u8; 32];

/// A token, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// A name that no other token has.
    pub name: String,
    /// The digest of what clients send.
    pub digest: TokenDigest,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
}

/// A tenant, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRow {
    /// Its number.
    pub id: TenantId,
    /// A name that no other tenant has.
    pub name: String,
    /// Its quotas and the like, as the daemon encodes them.
    pub details: Vec<u8>,
}

/// A change of tokens or tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// A token is added: [`Verdict::NameTaken`] where one has its name, [`Verdict::Conflict`] where
    /// there is no such tenant.
    AddToken(TokenRow),
    /// A token counts no more: [`Verdict::Conflict`] where none has this name.
    RemoveToken(String),
    /// A tenant is added, with the next number: [`Verdict::NameTaken`] where one has its name.
    AddTenant {
        /// Its name.
        name: String,
        /// Its details.
        details: Vec<u8>,
    },
    /// A tenant has other details: [`Verdict::Conflict`] where none has this name.
    SetTenant {
        /// Its name.
        name: String,
        /// Its details.
        details: Vec<u8>,
    },
    /// A tenant is removed: [`Verdict::Conflict`] where none has this name, or it has tasks or
    /// tokens, or it is the default one. Its number is not used again.
    RemoveTenant(String),
}

/// What a tenant has in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tasks, whatever their state.
    pub tasks: u64,
    /// Bytes of what they were submitted with, of their status and of their snapshots. Chunks and
    /// what snapshots share with others are not counted.
    pub bytes: u64,
    /// Bytes of their output.
    pub output: u64,
}

/// The part of a store that says who may ask. The tenant [`TenantId::DEFAULT`] is always there.
pub trait Accounts: Send + Sync {
    /// The token of a digest.
    fn token(&self, digest: &TokenDigest) -> Result<Option<TokenRow>, Error>;

    /// All tokens, by their names.
    fn tokens(&self) -> Result<Vec<TokenRow>, Error>;

    /// All tenants, by their numbers.
    fn tenants(&self) -> Result<Vec<TenantRow>, Error>;

    /// What a tenant has.
    fn usage(&self, tenant: TenantId) -> Result<Usage, Error>;

    /// All tasks that are not the default tenant's, with whose they are.
    fn tenant_tasks(&self) -> Result<Vec<(TaskId, TenantId)>, Error>;

    /// Changes tokens or tenants, durably. It needs no lease: what it changes is nobody's.
    fn change_account(&self, change: &AccountChange) -> Result<Verdict, Error>;
}
