//! What only SQLite does. What every store does is in `crate::tests`.

use super::open::FORMAT;
use super::*;
use crate::model::Timestamp;

/// A store in a directory, and its lease.
fn store(directory: &Path) -> Sqlite {
    let store = Sqlite::open(directory).expect("opens");
    let now = Stamp {
        now: MonotonicTime::from_nanos(1),
        ahead: 0,
        realtime: Timestamp::from_nanos(1),
        machine: None,
    };
    store
        .claim("a test", &now, Duration::from_secs(1))
        .expect("nobody has it");
    store
}

#[test]
fn a_store_is_opened_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let _store = store(folder.path());
    let Err(Error::Leased { holder, .. }) = Sqlite::open(folder.path()) else {
        panic!("it was opened twice");
    };
    assert_eq!(holder, "a test");
}

/// A child process that was forked while the store was open has its files open as well.
#[test]
fn a_store_that_was_closed_is_free_also_while_a_child_has_its_lock_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let lock = store.lock.lock();
    let of_the_child = lock.as_ref().map(|lock| lock.try_clone());
    drop(lock);
    drop(store);
    Sqlite::open(folder.path()).expect("it is free");
    drop(of_the_child);
}

/// Whatever format a database has that this build does not know, it is refused and left as it is.
#[test]
fn an_unknown_format_is_refused_and_left_alone() {
    let versions = [0, FORMAT + 1, 4, 99];
    let foreign = ("application_id", 7);
    for (pragma, value) in versions
        .map(|version| ("user_version", version))
        .into_iter()
        .chain([foreign])
    {
        let folder = tempfile::tempdir().expect("a folder");
        drop(store(folder.path()));
        let path = folder.path().join("store.sqlite");
        let connection = Connection::open(&path).expect("opens");
        connection
            .pragma_update(None, pragma, value)
            .expect("writes");
        drop(connection);
        let opened = Sqlite::open(folder.path()).map(drop);
        let looked = Sqlite::look(folder.path()).map(drop);
        let compacted = Sqlite::compact(folder.path()).map(drop);
        for refused in [opened, looked, compacted] {
            let Err(error @ Error::Format { .. }) = refused else {
                panic!("{pragma} = {value}: {refused:?}");
            };
            let text = error.to_string();
            let told = match pragma {
                "user_version" => {
                    format!("has format {value}, and this build knows format {FORMAT} only")
                }
                _ => "is no store of this dormouse's".into(),
            };
            assert!(text.contains(&told) && text.contains("--data"), "{text}");
        }
        let found: u32 = Connection::open(&path)
            .and_then(|other| other.pragma_query_value(None, pragma, |row| row.get(0)))
            .expect("reads");
        assert_eq!(found, value, "it is left as it is");
    }
}
