//! Tokens and tenants in maps.

use super::{Reference, State};
use crate::accounts::{AccountChange, Accounts, TenantRow, TokenDigest, TokenRow, Usage};
use crate::change::Verdict;
use crate::error::Error;
use crate::model::{TaskId, TenantId};

impl Accounts for Reference {
    fn token(&self, digest: &TokenDigest) -> Result<Option<TokenRow>, Error> {
        self.read(|state| {
            let mut tokens = state.accounts.tokens.iter();
            tokens.find(|token| token.digest == *digest).cloned()
        })
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.read(|state| {
            let mut tokens = state.accounts.tokens.clone();
            tokens.sort_by(|one, other| one.name.cmp(&other.name));
            tokens
        })
    }

    fn tenants(&self) -> Result<Vec<TenantRow>, Error> {
        self.read(|state| state.accounts.tenants.clone())
    }

    fn usage(&self, tenant: TenantId) -> Result<Usage, Error> {
        self.read(|state| {
            let mut usage = Usage::default();
            for (id, task) in state.tasks.iter().filter(|(_, task)| task.tenant == tenant) {
                let snapshot = task.snapshot.as_ref().map_or(0, |own| own.bytes.len());
                usage.tasks += 1;
                usage.bytes += (task.spec.len() + task.status.len() + snapshot) as u64;
                let pieces = state.output.range((*id, 0)..=(*id, u64::MAX));
                usage.output += pieces
                    .map(|(_, piece)| piece.bytes.len() as u64)
                    .sum::<u64>();
            }
            usage
        })
    }

    fn tenant_tasks(&self) -> Result<Vec<(TaskId, TenantId)>, Error> {
        self.read(|state| {
            let tasks = state.tasks.iter().map(|(id, task)| (*id, task.tenant));
            tasks
                .filter(|(_, tenant)| *tenant != TenantId::DEFAULT)
                .collect()
        })
    }

    fn change_account(&self, change: &AccountChange) -> Result<Verdict, Error> {
        self.write(|state| state.apply_account(change))
    }
}

impl State {
    fn apply_account(&mut self, change: &AccountChange) -> Verdict {
        let accounts = &mut self.accounts;
        match change {
            AccountChange::AddToken(token) => {
                let (name, digest) = (&token.name, &token.digest);
                if !accounts
                    .tenants
                    .iter()
                    .any(|tenant| tenant.id == token.tenant)
                {
                    return Verdict::Conflict;
                }
                let same = |known: &TokenRow| known.name == *name || known.digest == *digest;
                if accounts.tokens.iter().any(same) {
                    return Verdict::NameTaken;
                }
                accounts.tokens.push(token.clone());
            }
            AccountChange::RemoveToken(name) => {
                let before = accounts.tokens.len();
                accounts.tokens.retain(|token| token.name != *name);
                if accounts.tokens.len() == before {
                    return Verdict::Conflict;
                }
            }
            AccountChange::AddTenant { name, details } => {
                if accounts.tenants.iter().any(|tenant| tenant.name == *name) {
                    return Verdict::NameTaken;
                }
                accounts.last += 1;
                accounts.tenants.push(TenantRow {
                    id: TenantId(accounts.last),
                    name: name.clone(),
                    details: details.clone(),
                });
            }
            AccountChange::SetTenant { name, details } => {
                let mut tenants = accounts.tenants.iter_mut();
                let Some(tenant) = tenants.find(|tenant| tenant.name == *name) else {
                    return Verdict::Conflict;
                };
                tenant.details.clone_from(details);
            }
            AccountChange::RemoveTenant(name) => {
                let tokens = &accounts.tokens;
                let tasks = &self.tasks;
                let goes = |tenant: &TenantRow| {
                    tenant.name == *name
                        && tenant.id != TenantId::DEFAULT
                        && !tokens.iter().any(|token| token.tenant == tenant.id)
                        && !tasks.values().any(|task| task.tenant == tenant.id)
                };
                let before = accounts.tenants.len();
                accounts.tenants.retain(|tenant| !goes(tenant));
                if accounts.tenants.len() == before {
                    return Verdict::Conflict;
                }
            }
        }
        Verdict::Done
    }
}
