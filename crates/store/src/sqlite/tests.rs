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

/// A store of before there were tenants: everything in it is the default tenant's.
#[test]
fn a_store_of_the_first_format_gets_tenants() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.sqlite");
    let connection = Connection::open(&path).expect("opens");
    let first = include_str!("schema.sql");
    connection.execute_batch(first).expect("the first format");
    let digest = Digest::of(b"module");
    connection
        .execute(
            "INSERT INTO blobs VALUES (1, ?1, 0, x'00', NULL)",
            [digest.as_bytes()],
        )
        .expect("writes");
    connection
        .execute_batch(
            "INSERT INTO tasks VALUES (7, 3, 0, NULL, 1, NULL, 'nap', 0, 0, NULL, x'01', x'02', NULL,
               NULL)",
        )
        .expect("writes");
    drop(connection);
    let refused = Sqlite::look(folder.path()).map(drop);
    assert!(
        matches!(refused, Err(Error::Format { found: 1, .. })),
        "{refused:?}"
    );
    let store = store(folder.path());
    let row = store.task(TaskId(7)).expect("reads").expect("is there");
    assert_eq!((row.version, row.tenant), (3, TenantId::DEFAULT));
    let named = store.named(TenantId::DEFAULT, "nap").expect("reads");
    assert_eq!(named, Some(TaskId(7)));
    drop(store);
    let known = Connection::open(&path)
        .and_then(|other| other.pragma_query_value(None, "user_version", |row| row.get(0)));
    let known: u32 = known.expect("reads");
    assert_eq!(known, FORMAT);
    assert!(Sqlite::look(folder.path()).is_ok());
}
