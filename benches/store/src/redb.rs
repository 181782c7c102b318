//! redb: copy-on-write B-trees, a flush for each commit (its default).

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::candidate::{Candidate, Change, Result};

/// Version, due time and number of lines; the spec; the snapshot; who is due; the output.
const HEADS: TableDefinition<u64, (u64, u64, u64)> = TableDefinition::new("heads");
const SPECS: TableDefinition<u64, &[u8]> = TableDefinition::new("specs");
const SNAPSHOTS: TableDefinition<u64, &[u8]> = TableDefinition::new("snapshots");
const DUE: TableDefinition<(u64, u64), ()> = TableDefinition::new("due");
const OUTPUT: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("output");

pub struct Redb(Database);

impl Candidate for Redb {
    fn open(folder: &Path) -> Result<Self> {
        let database = Database::builder()
            .set_cache_size(32 << 20)
            .create(folder.join("store.redb"))?;
        let write = database.begin_write()?;
        write.open_table(HEADS)?;
        write.open_table(SPECS)?;
        write.open_table(SNAPSHOTS)?;
        write.open_table(DUE)?;
        write.open_table(OUTPUT)?;
        write.commit()?;
        Ok(Self(database))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        let write = self.0.begin_write()?;
        {
            let mut heads = write.open_table(HEADS)?;
            let mut specs = write.open_table(SPECS)?;
            let mut snapshots = write.open_table(SNAPSHOTS)?;
            let mut due = write.open_table(DUE)?;
            let mut output = write.open_table(OUTPUT)?;
            for change in changes {
                let head = heads.get(change.id)?.map(|head| head.value());
                let (version, before, lines) = head.unwrap_or((0, 0, 0));
                if version != change.expected {
                    return Err("conflict".into());
                }
                if version > 0 {
                    due.remove((before, change.id))?;
                }
                due.insert((change.due, change.id), ())?;
                if let Some(spec) = &change.spec {
                    specs.insert(change.id, spec.as_slice())?;
                }
                if let Some(snapshot) = &change.snapshot {
                    snapshots.insert(change.id, snapshot.as_slice())?;
                }
                if let Some(line) = &change.line {
                    output.insert((change.id, lines), line.as_slice())?;
                }
                let more = u64::from(change.line.is_some());
                heads.insert(change.id, (version + 1, change.due, lines + more))?;
            }
        }
        write.commit()?;
        Ok(())
    }

    fn due(&mut self, until: u64, limit: usize) -> Result<Vec<(u64, u64, u64)>> {
        let read = self.0.begin_read()?;
        let (due, heads) = (read.open_table(DUE)?, read.open_table(HEADS)?);
        let mut found = Vec::new();
        for entry in due.range(..=(until, u64::MAX))?.take(limit) {
            let (at, id) = entry?.0.value();
            let version = heads.get(id)?.map_or(0, |head| head.value().0);
            found.push((at, id, version));
        }
        Ok(found)
    }

    fn snapshot(&mut self, id: u64) -> Result<Vec<u8>> {
        let read = self.0.begin_read()?;
        let snapshots = read.open_table(SNAPSHOTS)?;
        Ok(snapshots.get(id)?.map_or_else(Vec::new, |bytes| bytes.value().to_vec()))
    }

    fn count(&mut self) -> Result<u64> {
        let read = self.0.begin_read()?;
        Ok(read.open_table(HEADS)?.len()?)
    }
}
