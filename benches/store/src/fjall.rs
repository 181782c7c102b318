//! fjall: log-structured merge trees, one journal, flushed for each batch.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::candidate::{Candidate, Change, Result};

pub struct Fjall {
    database: Database,
    heads: Keyspace,
    specs: Keyspace,
    snapshots: Keyspace,
    due: Keyspace,
    output: Keyspace,
}

fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

fn number(bytes: &[u8], place: usize) -> u64 {
    bytes.get(place * 8..place * 8 + 8).map_or(0, |bytes| {
        u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
    })
}

impl Candidate for Fjall {
    fn open(folder: &Path) -> Result<Self> {
        let database = Database::builder(folder.join("store.fjall"))
            .cache_size(32 << 20)
            .open()?;
        let keyspace = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            heads: keyspace("heads")?,
            specs: keyspace("specs")?,
            snapshots: keyspace("snapshots")?,
            due: keyspace("due")?,
            output: keyspace("output")?,
            database,
        })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for change in changes {
            let key = change.id.to_be_bytes();
            let head = self.heads.get(key)?.map(|head| head.to_vec()).unwrap_or_default();
            let (version, before, lines) = (number(&head, 0), number(&head, 1), number(&head, 2));
            if version != change.expected {
                return Err("conflict".into());
            }
            if version > 0 {
                batch.remove(&self.due, pair(before, change.id));
            }
            batch.insert(&self.due, pair(change.due, change.id), []);
            if let Some(spec) = &change.spec {
                batch.insert(&self.specs, key, spec.as_slice());
            }
            if let Some(snapshot) = &change.snapshot {
                batch.insert(&self.snapshots, key, snapshot.as_slice());
            }
            if let Some(line) = &change.line {
                batch.insert(&self.output, pair(change.id, lines), line.as_slice());
            }
            let more = u64::from(change.line.is_some());
            let mut head = pair(version + 1, change.due).to_vec();
            head.extend_from_slice(&(lines + more).to_be_bytes());
            batch.insert(&self.heads, key, head);
        }
        batch.commit()?;
        Ok(())
    }

    fn due(&mut self, until: u64, limit: usize) -> Result<Vec<(u64, u64, u64)>> {
        let mut found = Vec::new();
        for entry in self.due.range(..=pair(until, u64::MAX)).take(limit) {
            let key = entry.key()?;
            let (at, id) = (number(&key, 0), number(&key, 1));
            let head = self.heads.get(id.to_be_bytes())?;
            found.push((at, id, head.map_or(0, |head| number(&head, 0))));
        }
        Ok(found)
    }

    fn snapshot(&mut self, id: u64) -> Result<Vec<u8>> {
        let found = self.snapshots.get(id.to_be_bytes())?;
        Ok(found.map(|bytes| bytes.to_vec()).unwrap_or_default())
    }

    fn count(&mut self) -> Result<u64> {
        Ok(self.heads.len()? as u64)
    }
}
