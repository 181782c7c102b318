//! Commits: one call, one transaction, one round trip. Where the answer is lost, it is asked for until
//! somebody answers: what became of a batch stands in `commits` under its number.

use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use super::database::Postgres;
use super::error::is_without_parts;
use super::steps::{Doubt, PART_BYTES, Steps, stamp_numbers, verdicts};
use crate::change::{Change, Verdict};
use crate::error::Error;
use crate::model::{Digest, MonotonicTime};
use crate::numbers::{signed, time_number, unsigned};
use crate::store::{Lease, Stamp};

/// Pause before a lost answer is asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A lost answer is asked for so long before the caller is told.
const DOUBT_PATIENCE: Duration = Duration::from_secs(1);

/// How often a batch is tried that the server has taken back for the sake of others.
const MOST_TRIES: u32 = 20;

const COMMIT: &str = "SELECT commit_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
    $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)";

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
        // Whoever left it in doubt does not want to know.
        self.settle_doubt(lease).await?;
        let steps = Steps::of(changes, now);
        self.upload(changes, now, false).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let number = self.next_number();
            match self.call(lease, now, &steps, number).await {
                Ok(told) => {
                    let verdicts = verdicts(&steps.answers, &told);
                    return verdicts
                        .ok_or_else(|| Error::Database("it answered with no verdicts".into()));
                }
                Err(Failed::NoParts) => self.upload(changes, now, true).await?,
                Err(Failed::Undone(Error::Retry(_))) if tries < MOST_TRIES => {}
                Err(Failed::Undone(error)) => return Err(error),
                Err(Failed::InDoubt(error)) => {
                    log::warn!("the answer to a commit was lost, and it is asked for: {error}");
                    *self.doubt.lock() = Some(Doubt {
                        number,
                        stamp: stamp_numbers(now),
                        answers: steps.answers.clone(),
                    });
                    if let Some(verdicts) = self.settle_soon(lease).await? {
                        return Ok(verdicts);
                    }
                }
            }
        }
    }

    /// Settles what is in doubt, if somebody answers soon.
    async fn settle_soon(&self, lease: &Lease) -> Result<Option<Vec<Verdict>>, Error> {
        let began = Instant::now();
        loop {
            match self.settle_doubt(lease).await {
                Err(error) if error.passes() && began.elapsed() < DOUBT_PATIENCE => {
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
                Err(error) if error.passes() => return Err(Error::InDoubt(error.to_string())),
                settled => return settled,
            }
        }
    }

    /// What became of the batch that is in doubt: its verdicts, or that it was not done. It can be
    /// asked for again after an error that passes.
    pub(super) async fn settle_doubt(&self, lease: &Lease) -> Result<Option<Vec<Verdict>>, Error> {
        let (number, stamp) = match &*self.doubt.lock() {
            Some(doubt) => (doubt.number, doubt.stamp.clone()),
            None => return Ok(None),
        };
        let me = signed(lease.epoch);
        let told = self
            .row("SELECT settle_1($1, $2, $3)", &[&me, &number, &stamp])
            .await;
        let told = match told {
            Err(error) if error.passes() => return Err(error),
            told => told,
        };
        let doubt = self.doubt.lock().take();
        let told: Option<Vec<i16>> = told?.and_then(|row| row.get(0));
        log::info!("the store's server has answered: what was in doubt is settled");
        Ok(match (doubt, told) {
            (Some(doubt), Some(told)) => verdicts(&doubt.answers, &told),
            _ => None,
        })
    }

    async fn call(
        &self,
        lease: &Lease,
        now: &Stamp,
        steps: &Steps<'_>,
        number: i64,
    ) -> Result<Vec<i16>, Failed> {
        let client = self.connection().await.map_err(Failed::Undone)?;
        let statement = client.prepare_cached(COMMIT).await;
        let statement = statement.map_err(|error| Failed::Undone(error.into()))?;
        let (me, home, stamp) = (signed(lease.epoch), self.home(), stamp_numbers(now));
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&me, &number, &home, &stamp];
        parameters.extend(steps.parameters());
        match client.query_one(&statement, &parameters).await {
            Ok(row) => client.answer(row.get(0)).map_err(Failed::InDoubt),
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
        let client = self.connection().await?;
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
