//! Tokens and tenants.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Sqlite;
use super::encoding::indexed;
use crate::accounts::{AccountChange, Accounts, TenantRow, TokenDigest, TokenRow, Usage};
use crate::change::Verdict;
use crate::error::Error;
use crate::model::{Role, TaskId, TenantId, Timestamp};
use crate::numbers::{signed, unsigned};

const TOKENS: &str = "SELECT name, digest, tenant, role, created FROM tokens";

impl Accounts for Sqlite {
    fn token(&self, digest: &TokenDigest) -> Result<Option<TokenRow>, Error> {
        self.read(|reader| {
            reader
                .prepare_cached(&format!("{TOKENS} WHERE digest = ?1"))?
                .query_row([digest], token)
                .optional()
        })
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.read(|reader| {
            reader
                .prepare_cached(&format!("{TOKENS} ORDER BY name"))?
                .query_map([], token)?
                .collect()
        })
    }

    fn tenants(&self) -> Result<Vec<TenantRow>, Error> {
        self.read(|reader| {
            reader
                .prepare_cached("SELECT id, name, details FROM tenants ORDER BY id")?
                .query_map([], |sql| {
                    Ok(TenantRow {
                        id: TenantId(unsigned(sql.get(0)?)),
                        name: sql.get(1)?,
                        details: sql.get(2)?,
                    })
                })?
                .collect()
        })
    }

    fn usage(&self, tenant: TenantId) -> Result<Usage, Error> {
        self.read(|reader| {
            reader
                .prepare_cached(&format!(
                    "SELECT count(*), coalesce(sum(length(spec) + length(status)
                       + coalesce(length(snapshot), 0)), 0), coalesce(sum(log_bytes), 0)
                     FROM tasks WHERE tenant = ?1{}",
                    indexed(tenant)
                ))?
                .query_row([signed(tenant.0)], |sql| {
                    Ok(Usage {
                        tasks: unsigned(sql.get(0)?),
                        bytes: unsigned(sql.get(1)?),
                        output: unsigned(sql.get(2)?),
                    })
                })
        })
    }

    fn tenant_tasks(&self) -> Result<Vec<(TaskId, TenantId)>, Error> {
        self.read(|reader| {
            reader
                .prepare_cached(
                    "SELECT id, tenant FROM tasks INDEXED BY tasks_tenant WHERE tenant <> 0",
                )?
                .query_map([], |sql| {
                    let (id, tenant) = (unsigned(sql.get(0)?), unsigned(sql.get(1)?));
                    Ok((TaskId(id), TenantId(tenant)))
                })?
                .collect()
        })
    }

    fn change_account(&self, change: &AccountChange) -> Result<Verdict, Error> {
        self.change(|writer| Ok(apply(writer, change)?))
    }
}

fn token(sql: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let role: String = sql.get(3)?;
    let role: Result<Role, String> = role.parse();
    Ok(TokenRow {
        name: sql.get(0)?,
        digest: sql.get(1)?,
        tenant: TenantId(unsigned(sql.get(2)?)),
        role: role.map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, Type::Text, error.into())
        })?,
        created: Timestamp::from_nanos(unsigned(sql.get(4)?)),
    })
}

/// Each change is one statement, and so one transaction.
fn apply(writer: &Connection, change: &AccountChange) -> rusqlite::Result<Verdict> {
    let (changed, otherwise) = match change {
        AccountChange::AddToken(token) => {
            let tenant = signed(token.tenant.0);
            let there = "SELECT 1 FROM tenants WHERE id = ?1";
            if !writer.prepare_cached(there)?.exists([tenant])? {
                return Ok(Verdict::Conflict);
            }
            let added = writer.execute(
                "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![
                    token.name,
                    token.digest,
                    tenant,
                    token.role.name(),
                    signed(token.created.as_nanos())
                ],
            )?;
            (added, Verdict::NameTaken)
        }
        AccountChange::RemoveToken(name) => (
            writer.execute("DELETE FROM tokens WHERE name = ?1", [name])?,
            Verdict::Conflict,
        ),
        AccountChange::AddTenant { name, details } => (
            writer.execute(
                "INSERT INTO tenants (name, details) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![name, details],
            )?,
            Verdict::NameTaken,
        ),
        AccountChange::SetTenant { name, details } => (
            writer.execute(
                "UPDATE tenants SET details = ?2 WHERE name = ?1",
                params![name, details],
            )?,
            Verdict::Conflict,
        ),
        AccountChange::RemoveTenant(name) => (
            writer.execute(
                "DELETE FROM tenants WHERE name = ?1 AND id <> 0
                 AND NOT EXISTS (SELECT 1 FROM tokens WHERE tenant = tenants.id)
                 AND NOT EXISTS (SELECT 1 FROM tasks WHERE tenant = tenants.id AND tenant <> 0)",
                [name],
            )?,
            Verdict::Conflict,
        ),
    };
    Ok(match changed {
        0 => otherwise,
        _ => Verdict::Done,
    })
}
