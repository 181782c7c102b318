//! Tokens and tenants.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::database::Postgres;
use crate::accounts::{AccountChange, Accounts, TenantRow, TokenDigest, TokenRow, Usage};
use crate::change::Verdict;
use crate::error::Error;
use crate::model::{TaskId, TenantId, Timestamp};
use crate::numbers::{signed, unsigned};

const TOKENS: &str = "SELECT name, digest, tenant, role, created FROM tokens";

impl Accounts for Postgres {
    fn token(&self, digest: &TokenDigest) -> Result<Option<TokenRow>, Error> {
        let query = format!("{TOKENS} WHERE digest = $1");
        let row = self.block_on(self.row(&query, &[&&digest[..]]))?;
        row.as_ref().map(token).transpose()
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        // As SQLite compares names.
        let query = format!("{TOKENS} ORDER BY name COLLATE \"C\"");
        let rows = self.block_on(self.rows(&query, &[]))?;
        rows.iter().map(token).collect()
    }

    fn tenants(&self) -> Result<Vec<TenantRow>, Error> {
        let query = "SELECT id, name, details FROM tenants ORDER BY id";
        let rows = self.block_on(self.rows(query, &[]))?;
        let tenant = |row: &Row| TenantRow {
            id: TenantId(unsigned(row.get(0))),
            name: row.get(1),
            details: row.get(2),
        };
        Ok(rows.iter().map(tenant).collect())
    }

    fn usage(&self, tenant: TenantId) -> Result<Usage, Error> {
        // Without the second part, the index of tenants is not used.
        let indexed = match tenant {
            TenantId::DEFAULT => "",
            _ => " AND tenant <> 0",
        };
        let query = format!(
            "SELECT count(*), coalesce(sum(octet_length(spec) + octet_length(status)
               + coalesce(octet_length(snapshot), 0)), 0)::bigint, coalesce(sum(log_bytes), 0)::bigint
             FROM tasks WHERE tenant = $1{indexed}"
        );
        let row = self.block_on(self.row(&query, &[&signed(tenant.0)]))?;
        Ok(row.map_or_else(Usage::default, |row| Usage {
            tasks: unsigned(row.get(0)),
            bytes: unsigned(row.get(1)),
            output: unsigned(row.get(2)),
        }))
    }

    fn tenant_tasks(&self) -> Result<Vec<(TaskId, TenantId)>, Error> {
        let query = "SELECT id, tenant FROM tasks WHERE tenant <> 0";
        let rows = self.block_on(self.rows(query, &[]))?;
        let task = |row: &Row| (TaskId(unsigned(row.get(0))), TenantId(unsigned(row.get(1))));
        Ok(rows.iter().map(task).collect())
    }

    fn change_account(&self, change: &AccountChange) -> Result<Verdict, Error> {
        self.block_on(self.apply(change))
    }
}

impl Postgres {
    /// Each change is one statement, and so one transaction.
    async fn apply(&self, change: &AccountChange) -> Result<Verdict, Error> {
        match change {
            AccountChange::AddToken(token) => {
                let tenant = signed(token.tenant.0);
                let there = "SELECT 1 FROM tenants WHERE id = $1";
                if self.row(there, &[&tenant]).await?.is_none() {
                    return Ok(Verdict::Conflict);
                }
                let query = "INSERT INTO tokens VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
                let created = signed(token.created.as_nanos());
                let (digest, role) = (&token.digest[..], token.role.name());
                let values: [&(dyn ToSql + Sync); 5] =
                    [&token.name, &digest, &tenant, &role, &created];
                self.statement(query, &values, Verdict::NameTaken).await
            }
            AccountChange::RemoveToken(name) => {
                let query = "DELETE FROM tokens WHERE name = $1";
                self.statement(query, &[name], Verdict::Conflict).await
            }
            AccountChange::AddTenant { name, details } => {
                let query =
                    "INSERT INTO tenants (name, details) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                self.statement(query, &[name, details], Verdict::NameTaken)
                    .await
            }
            AccountChange::SetTenant { name, details } => {
                let query = "UPDATE tenants SET details = $2 WHERE name = $1";
                self.statement(query, &[name, details], Verdict::Conflict)
                    .await
            }
            AccountChange::RemoveTenant(name) => {
                let query = "DELETE FROM tenants WHERE name = $1 AND id <> 0
                     AND NOT EXISTS (SELECT 1 FROM tokens WHERE tenant = tenants.id)
                     AND NOT EXISTS (SELECT 1 FROM tasks WHERE tenant = tenants.id AND tenant <> 0)";
                self.statement(query, &[name], Verdict::Conflict).await
            }
        }
    }

    /// Whether a statement has changed a row, or what it means that it has not.
    async fn statement(
        &self,
        query: &str,
        values: &[&(dyn ToSql + Sync)],
        otherwise: Verdict,
    ) -> Result<Verdict, Error> {
        let client = self.connection().await?;
        let statement = client.prepare_cached(query).await?;
        client.answer(match client.execute(&statement, values).await? {
            0 => otherwise,
            _ => Verdict::Done,
        })
    }
}

fn token(row: &Row) -> Result<TokenRow, Error> {
    let damaged = |what: String| Error::Database(format!("a token cannot be read: {what}"));
    let role: &str = row.get(3);
    let digest: &[u8] = row.get(1);
    Ok(TokenRow {
        name: row.get(0),
        digest: digest
            .try_into()
            .map_err(|_| damaged(format!("its digest has {} bytes", digest.len())))?,
        tenant: TenantId(unsigned(row.get(2))),
        role: role.parse().map_err(damaged)?,
        created: Timestamp::from_nanos(unsigned(row.get(4))),
    })
}
