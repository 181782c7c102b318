//! Which schema a database has. Migrations run in one transaction under a lock, so that nodes that
//! start at one time do not get into each other's way.

use tokio_postgres::Client;

use crate::error::Error;

/// What makes each schema from the one before; the first from nothing.
const MIGRATIONS: [&str; 5] = [
    concat!(include_str!("schema.sql"), include_str!("functions.sql")),
    include_str!("tenants.sql"),
    include_str!("nodes.sql"),
    include_str!("classes.sql"),
    include_str!("handover.sql"),
];

/// The schema that this build makes.
pub(super) const SCHEMA: i32 = MIGRATIONS.len() as i32;

/// The number of the lock under which schemas are changed: "dorm" in ASCII.
const LOCK: i64 = 0x646f_726d;

/// Makes the schema that this build knows, or refuses a database that only later builds can use.
pub(super) async fn migrate(client: &mut Client, server: &str) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    let is_there: bool = transaction
        .query_one("SELECT to_regclass('dormouse.meta') IS NOT NULL", &[])
        .await?
        .get(0);
    let (found, oldest): (i32, i32) = match is_there {
        false => {
            let make = "CREATE SCHEMA IF NOT EXISTS dormouse";
            transaction.batch_execute(make).await?;
            (0, 0)
        }
        true => {
            let row = transaction
                .query_one("SELECT schema, oldest FROM meta", &[])
                .await?;
            (row.get(0), row.get(1))
        }
    };
    if oldest > SCHEMA {
        return Err(Error::Schema {
            server: server.into(),
            found,
            known: SCHEMA,
        });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.batch_execute(migration).await?;
    }
    if found < SCHEMA {
        transaction
            .execute("UPDATE meta SET schema = $1", &[&SCHEMA])
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}
