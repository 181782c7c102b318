//! The audit log: who did what, as lines of JSON in files of a bounded size. It never holds a token,
//! a query or a body.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The file in the daemon's directory. Older ones have a number behind it, the newest of them 1.
const FILE_NAME: &str = "audit.log";

/// A file that has become larger than this many bytes is closed, and a new one begun.
const LARGEST_FILE_BYTES: u64 = 8 << 20;

/// So many older files are kept.
const OLDER_FILES: u32 = 7;

/// Of requests without a token that counts, one is noted in this time: whoever has none cannot push
/// out what others did.
const STRANGERS_PAUSE: Duration = Duration::from_secs(1);

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// When it was answered, RFC 3339.
    pub time: String,
    /// The name of the token; left out where none was given that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The name of the tenant for whom it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The address of the other end of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Method and path, such as `POST /v1/tasks/{id}/kill`.
    pub action: String,
    /// What stands for the part of the path in braces: a task's number or name, or another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The numbers of new tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<u64>,
    /// The status of the answer. Below 400 it was done.
    pub status: u16,
}

/// The log.
#[derive(Debug)]
pub struct AuditLog {
    directory: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    bytes: u64,
    /// When a request without a token was noted.
    stranger: Option<Instant>,
    failed: bool,
}

impl AuditLog {
    /// Opens the log in a directory, to go on with it.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let (file, bytes) = open(directory)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            current: Mutex::new(Current {
                file,
                bytes,
                stranger: None,
                failed: false,
            }),
        })
    }

    /// Notes a request. What cannot be noted is said once in the daemon's log.
    pub(crate) fn note(&self, entry: &AuditEntry) {
        let mut current = self.current.lock();
        if entry.token.is_none() {
            let last = current.stranger;
            if last.is_some_and(|last| last.elapsed() < STRANGERS_PAUSE) {
                return;
            }
            current.stranger = Some(Instant::now());
        }
        let written = self.write(&mut current, entry);
        match (written, current.failed) {
            (Ok(()), _) => current.failed = false,
            (Err(error), false) => {
                log::warn!("the audit log cannot be written: {error}; requests are not noted");
                current.failed = true;
            }
            (Err(_), true) => {}
        }
    }

    fn write(&self, current: &mut Current, entry: &AuditEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if current.bytes > 0 && current.bytes + line.len() as u64 > LARGEST_FILE_BYTES {
            for number in (1..=OLDER_FILES).rev() {
                let newer = self.path(number - 1);
                if newer.exists() {
                    fs::rename(newer, self.path(number))?;
                }
            }
            (current.file, current.bytes) = open(&self.directory)?;
        }
        current.file.write_all(&line)?;
        current.bytes += line.len() as u64;
        Ok(())
    }

    /// The file of a number; 0 is the one that is written.
    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(match number {
            0 => FILE_NAME.into(),
            _ => format!("{FILE_NAME}.{number}"),
        })
    }

    /// The last entries that are wanted, the newest first.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn last(
        &self,
        most: usize,
        wanted: impl Fn(&AuditEntry) -> bool,
    ) -> io::Result<Vec<AuditEntry>> {
        let mut found = Vec::new();
        for number in 0..=OLDER_FILES {
            let file = match File::open(self.path(number)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let left = most - found.len();
            let mut of_file = VecDeque::new();
            for line in BufReader::new(file).split(b'\n') {
                // A line may be half written where the disk was full.
                let Ok(entry) = serde_json::from_slice::<AuditEntry>(&line?) else {
                    continue;
                };
                if wanted(&entry) {
                    of_file.push_front(entry);
                    of_file.truncate(left);
                }
            }
            found.extend(of_file);
            if found.len() == most {
                break;
            }
        }
        Ok(found)
    }
}

/// Opens the file that is written, and says how many bytes it has.
fn open(directory: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(directory.join(FILE_NAME))?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> AuditEntry {
        AuditEntry {
            token: Some("ci".into()),
            action: "POST /v1/tasks".into(),
            // So that few entries fill a file.
            on: Some(format!("{number}-{}", "x".repeat(100_000))),
            status: 201,
            ..AuditEntry::default()
        }
    }

    fn number(entry: &AuditEntry) -> usize {
        let text = entry.on.as_deref().and_then(|on| on.split('-').next());
        text.and_then(|text| text.parse().ok()).expect("a number")
    }

    #[test]
    fn the_newest_entries_are_kept_in_files_of_a_bounded_size() {
        let folder = tempfile::tempdir().expect("a directory");
        let log = AuditLog::open(folder.path()).expect("it opens");
        for count in 0..800 {
            log.note(&entry(count));
        }
        drop(log);
        let log = AuditLog::open(folder.path()).expect("it opens again");
        log.note(&entry(800));
        let files: Vec<_> = fs::read_dir(folder.path())
            .expect("reads")
            .flatten()
            .collect();
        assert_eq!(files.len() as u32, 1 + OLDER_FILES);
        for file in &files {
            assert!(file.metadata().expect("a file").len() <= LARGEST_FILE_BYTES);
        }
        let all = log.last(usize::MAX >> 1, |_| true).expect("reads");
        let numbers: Vec<_> = all.iter().map(number).collect();
        let oldest = *numbers.last().expect("some are kept");
        assert!(oldest < 300, "{oldest}");
        assert!(numbers.iter().copied().eq((oldest..=800).rev()));
        let even = log
            .last(150, |entry| number(entry).is_multiple_of(2))
            .expect("reads");
        let even: Vec<_> = even.iter().map(number).collect();
        assert!(even.iter().copied().eq((0..150).map(|back| 800 - 2 * back)));
    }

    #[test]
    fn who_has_no_token_does_not_fill_the_log() {
        let folder = tempfile::tempdir().expect("a directory");
        let log = AuditLog::open(folder.path()).expect("it opens");
        let stranger = AuditEntry {
            token: None,
            status: 401,
            ..entry(0)
        };
        // They come faster than one in a second, however slow the machine is.
        let began = Instant::now();
        let mut noted = 0;
        while noted < 100 {
            log.note(&stranger);
            noted += 1;
        }
        let most = 2 + began.elapsed().as_secs() as usize;
        let all = log.last(1000, |_| true).expect("reads");
        assert!((1..=most).contains(&all.len()), "{}", all.len());
        fs::write(folder.path().join(FILE_NAME), b"{\"half\n").expect("written");
        assert!(log.last(9, |_| true).expect("reads").is_empty());
    }
}
