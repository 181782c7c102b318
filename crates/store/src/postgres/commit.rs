//! Commits: one call, one transaction, one round trip. A call whose answer is lost is sent again
//! under the same number until somebody answers, and is not done twice: what the first try has done
//! stands in `commits`.

use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::connect::connection;
use super::database::Postgres;
use super::error::is_without_parts;
use super::steps::{PART_BYTES, Steps, stamp_numbers};
use crate::change::{Change, Verdict};
use crate::error::Error;
use crate::model::{Digest, MonotonicTime};
use crate::numbers::{signed, time_number, unsigned};
use crate::store::{Lease, Stamp};

/// Pause before a call is sent again.
const SEND_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How often a batch is tried that the server has taken back for the sake of others.
const MOST_TRIES: u32 = 20;

const COMMIT: &str = "SELECT commit_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
    $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)";

/// How a call has failed.
enum Failed {
    /// It was not sent, or the server says that nothing was changed.
    Undone(Error),
    /// It may have been done.
    InDoubt(Error),
    /// Parts of a large blob are not there.
    NoParts,
}

impl Postgres {
    pub(super) async fn commit_batch(
        &self,
        lease: &Lease,
        now: &Stamp,
        changes: &[Change],
    ) -> Result<Vec<Verdict>, Error> {
        let steps = Steps::of(changes, now);
        let number = self.next_number();
        self.upload(changes, now, false).await?;
        let (mut doubt, mut tries) = (None, 0);
        loop {
            tries += 1;
            match self.call(lease, now, &steps, number, doubt.is_some()).await {
                Ok(verdicts) => {
                    if doubt.is_some() {
                        log::info!("the store's server has answered: what was in doubt is settled");
                    }
                    let verdicts = steps.verdicts(&verdicts);
                    return verdicts
                        .ok_or_else(|| Error::Database("it answered with no verdicts".into()));
                }
                Err(Failed::NoParts) => self.upload(changes, now, true).await?,
                Err(Failed::Undone(error)) if doubt.is_none() => match error {
                    Error::Retry(_) if tries < MOST_TRIES => {}
                    error => return Err(error),
                },
                // Nothing is known yet about the first try.
                Err(Failed::Undone(error @ (Error::Unreachable(_) | Error::Retry(_)))) => {
                    log::debug!("a commit is in doubt still: {error}");
                    tokio::time::sleep(SEND_AGAIN_AFTER).await;
                }
                // The server has looked, and the first try was not done; nor is this one. Or this
                // node is fenced.
                Err(Failed::Undone(error)) => return Err(error),
                Err(Failed::InDoubt(error)) => {
                    if doubt.is_none() {
                        log::warn!("the answer to a commit was lost, and it is asked for: {error}");
                    }
                    doubt = Some(error);
                    tokio::time::sleep(SEND_AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn call(
        &self,
        lease: &Lease,
        now: &Stamp,
        steps: &Steps<'_>,
        number: i64,
        again: bool,
    ) -> Result<Vec<i16>, Failed> {
        let client = connection(&self.pool).await.map_err(Failed::Undone)?;
        let statement = client.prepare_cached(COMMIT).await;
        let statement = statement.map_err(|error| Failed::Undone(error.into()))?;
        let (me, home, stamp) = (signed(lease.epoch), self.home(), stamp_numbers(now));
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&me, &number, &again, &home, &stamp];
        parameters.extend(steps.parameters());
        match client.query_one(&statement, &parameters).await {
            Ok(row) => Ok(row.get(0)),
            Err(error) if is_without_parts(&error) => Err(Failed::NoParts),
            Err(error) => Err(match Error::from(error) {
                error @ Error::Unreachable(_) => Failed::InDoubt(error),
                error => Failed::Undone(error),
            }),
        }
    }

    /// Stores the parts of large blobs, ahead of the batch that makes blobs of them.
    async fn upload(&self, changes: &[Change], now: &Stamp, again: bool) -> Result<(), Error> {
        for change in changes {
            if let Change::Blob { digest, bytes, .. } = change
                && bytes.len() > PART_BYTES
                && (again || !self.find_blob(digest).await?)
            {
                self.upload_parts(digest, bytes, now).await?;
            }
        }
        Ok(())
    }

    async fn upload_parts(&self, digest: &Digest, bytes: &[u8], now: &Stamp) -> Result<(), Error> {
        let client = connection(&self.pool).await?;
        let statement = client
            .prepare_cached(
                "INSERT INTO blob_parts VALUES ($1, $2, $3, $4)
                 ON CONFLICT (digest, number) DO UPDATE SET put = excluded.put",
            )
            .await?;
        let put = time_number(now.now);
        for (number, part) in (0i32..).zip(bytes.chunks(PART_BYTES)) {
            let digest = &digest.as_bytes()[..];
            client
                .execute(&statement, &[&digest, &number, &put, &part])
                .await?;
        }
        Ok(())
    }

    /// Removes blobs that nothing refers to.
    pub(super) async fn prune_blobs(
        &self,
        lease: &Lease,
        now: &Stamp,
        before: MonotonicTime,
    ) -> Result<u64, Error> {
        let (me, before) = (signed(lease.epoch), time_number(before));
        self.rows("SELECT doom_1($1, $2)", &[&me, &before]).await?;
        self.rows("SELECT wait_for_commits_1()", &[]).await?;
        let (number, stamp) = (self.next_number(), stamp_numbers(now));
        let removed = self
            .number_of(
                "SELECT prune_1($1, $2, $3, $4)",
                &[&me, &number, &stamp, &before],
            )
            .await?;
        Ok(unsigned(removed))
    }
}
