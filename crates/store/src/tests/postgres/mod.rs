//! What only a store in PostgreSQL has: answers that are lost, a server that dies, and schemas.

mod database;
mod failover;
mod tls;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_test_support::postgres::Server;
use dormouse_test_support::proxy::{Losses, proxy};

pub(crate) use self::database::Database;
use super::fixtures::{Place, SECOND, at, blob, digest, insert, line, steady, store, update};
use crate::change::{Change, Update, Verdict};
use crate::class::ClassId;
use crate::error::Error;
use crate::model::{Digest, TaskId, TaskState};
use crate::nodes::Wish;
use crate::numbers::state_number;
use crate::postgres::Postgres;
use crate::store::{Lease, Store};

/// How often the server is killed in the middle of commits.
const KILLS: u64 = 3;

/// A store whose server is behind a proxy, and a task in it.
fn behind_proxy(database: &Database<'_>) -> (Postgres, Lease, std::sync::Arc<Losses>) {
    let (port, losses) = proxy(database.server.socket());
    let url = format!("postgres://postgres@127.0.0.1:{port}/{}", database.name);
    let store = Postgres::open(&url).expect("it opens");
    let lease = store.claim("a test", &at(1), 60 * SECOND).expect("is free");
    let batch = [blob("module"), insert(1, None, None)];
    store.commit(&lease, &at(2), &batch).expect("commits");
    (store, lease, losses)
}

fn says(version: u64, text: &str) -> Change {
    Change::Update(Update {
        output: vec![line(text)],
        ..update(1, version)
    })
}

/// The version of the task, and all that it has written.
fn written(store: &dyn Store) -> (u64, String) {
    let row = store.task(TaskId(1)).expect("reads").expect("is there");
    let pieces = store.output(TaskId(1), 0, u64::MAX).expect("reads");
    let texts = pieces.iter().map(|stored| &stored.piece.bytes[..]);
    let text = texts.collect::<Vec<_>>().concat();
    (row.version, String::from_utf8(text).expect("it is text"))
}

/// The answer to a commit is lost: it is found out that it was done, and it is not done twice.
#[test]
fn a_commit_whose_answer_is_lost_is_done_once() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease, losses) = behind_proxy(&database);
    // The names of two new tasks are one: not all that is answered is "done".
    let batch = [
        says(1, "a"),
        says(1, "never"),
        insert(2, None, Some("x")),
        insert(3, None, Some("x")),
        Change::DropPack { pack: 3 },
    ];
    losses.answer.store(true, Ordering::SeqCst);
    let verdicts = store.commit(&lease, &at(3), &batch).expect("it is settled");
    assert!(!losses.answer.load(Ordering::SeqCst), "an answer was lost");
    let done = Verdict::Done;
    assert_eq!(
        verdicts,
        [done, Verdict::Conflict, done, Verdict::NameTaken, done]
    );
    assert_eq!(written(&store), (2, "a".into()));
    store
        .commit(&lease, &at(4), &[says(2, "b")])
        .expect("commits");
    assert_eq!(written(&store), (3, "ab".into()));
}

/// The commit itself is lost: it is sent again.
#[test]
fn a_commit_that_is_lost_is_sent_again() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease, losses) = behind_proxy(&database);
    losses.request.store(true, Ordering::SeqCst);
    let verdicts = store
        .commit(&lease, &at(3), &[says(1, "a")])
        .expect("commits");
    assert!(!losses.request.load(Ordering::SeqCst), "a request was lost");
    assert_eq!(verdicts, [Verdict::Done]);
    assert_eq!(written(&store), (2, "a".into()));
}

/// The answer is lost, and the node is fenced before it can ask: it is told so.
#[test]
fn a_node_that_is_fenced_in_doubt_is_told() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease, losses) = behind_proxy(&database);
    losses.answer.store(true, Ordering::SeqCst);
    let outcome = std::thread::scope(|scope| {
        let commit = scope.spawn(|| store.commit(&lease, &at(3), &[says(1, "a")]));
        while losses.answer.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        losses.all.store(true, Ordering::SeqCst);
        database
            .server
            .sql(&database.name, "DELETE FROM dormouse.nodes");
        losses.all.store(false, Ordering::SeqCst);
        commit.join().expect("it does not panic")
    });
    // It may have been quicker to ask.
    assert!(
        matches!(outcome, Err(Error::Lost | Error::InDoubt(_)) | Ok(_)),
        "{outcome:?}"
    );
    let late = store.commit(&lease, &at(4), &[says(2, "b")]);
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    assert_eq!(written(&store), (2, "a".into()));
}

/// A server that nobody reaches is no end: the caller is told, and the next commit works.
#[test]
fn a_server_that_is_not_reached_is_waited_for() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease, losses) = behind_proxy(&database);
    losses.all.store(true, Ordering::SeqCst);
    // What there was of connections breaks at the first use.
    let read = store.task(TaskId(1));
    assert!(matches!(read, Err(Error::Unreachable(_))), "{read:?}");
    let refused = store.commit(&lease, &at(3), &[says(1, "a")]);
    let Err(error @ Error::Unreachable(_)) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.passes());
    losses.all.store(false, Ordering::SeqCst);
    store
        .commit(&lease, &at(4), &[says(1, "b")])
        .expect("commits");
    assert_eq!(written(&store), (2, "b".into()));
    let nobody = Postgres::open("postgres://postgres@127.0.0.1:1/nothing").map(drop);
    assert!(matches!(nobody, Err(Error::Unreachable(_))), "{nobody:?}");
}

/// How often a server is asked what became of a commit, every 10 ms.
const MOST_QUESTIONS: usize = 6_000;

/// Stops those who look at it, also where a test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What became of a batch that is in doubt; one that was not done can be done again.
fn settled(store: &dyn Store, lease: &Lease) -> Result<Vec<Verdict>, Error> {
    for _ in 0..MOST_QUESTIONS {
        match store.settle(lease) {
            Ok(Some(verdicts)) => return Ok(verdicts),
            Ok(None) => return Err(Error::Unreachable("it was not done".into())),
            Err(error) => assert!(error.passes(), "{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the server has answered nobody for a minute");
}

/// The answer is lost, and nobody can be asked: that is told, and it is settled later.
#[test]
fn a_commit_in_doubt_is_settled_later() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease, losses) = behind_proxy(&database);
    let commit_and_lose = |what: &AtomicBool, change: Change| {
        // The first commit on a connection sends the statement ahead.
        let first = [Change::DropPack { pack: 99 }];
        store.commit(&lease, &at(3), &first).expect("it is reached");
        losses.and_all.store(true, Ordering::SeqCst);
        what.store(true, Ordering::SeqCst);
        let refused = store.commit(&lease, &at(3), &[change]);
        assert!(matches!(refused, Err(Error::InDoubt(_))), "{refused:?}");
        let unknown = store.settle(&lease);
        assert!(matches!(unknown, Err(Error::Unreachable(_))), "{unknown:?}");
        losses.all.store(false, Ordering::SeqCst);
    };
    commit_and_lose(&losses.answer, says(1, "a"));
    let told = store.settle(&lease).expect("it is settled");
    assert_eq!(told, Some(vec![Verdict::Done]));
    assert_eq!(written(&store), (2, "a".into()));
    commit_and_lose(&losses.request, says(2, "b"));
    assert_eq!(store.settle(&lease).expect("it is settled"), None);
    // Should it arrive after all, its number is taken.
    let void = "SELECT count(*) FROM dormouse.commits WHERE number > 0 AND verdicts = '{}'";
    assert_eq!(database.server.sql(&database.name, void), "1");
    store
        .commit(&lease, &at(4), &[says(2, "c")])
        .expect("commits");
    assert_eq!(written(&store), (3, "ac".into()));
    // Whoever does not ask, goes on.
    commit_and_lose(&losses.answer, says(3, "d"));
    let verdicts = store.commit(&lease, &at(5), &[says(3, "never"), says(4, "e")]);
    assert_eq!(
        verdicts.expect("commits"),
        [Verdict::Conflict, Verdict::Done]
    );
    assert_eq!(written(&store), (5, "acde".into()));
}

/// The server is killed in the middle of commits, again and again: all that was acknowledged is there,
/// each once, and what was under way is settled.
#[test]
fn nothing_acknowledged_is_lost_with_the_server() {
    let Some(server) = Server::start(&["fsync=on"]) else {
        return;
    };
    {
        let database = Database::on(&server);
        let (store, lease) = store(&database);
        store
            .commit(&lease, &at(2), &[insert(1, None, None)])
            .expect("commits");
        let stop = AtomicBool::new(false);
        let (acknowledged, text) = std::thread::scope(|scope| {
            // A server that does not start again fails the test, and must not keep it.
            let ended = StopAtEnd(&stop);
            let writer = scope.spawn(|| {
                let (mut version, mut text) = (1, String::new());
                while !stop.load(Ordering::SeqCst) {
                    let said = format!("{version},");
                    let change = Change::Update(Update {
                        output_limit: u64::MAX,
                        output: vec![line(&said)],
                        ..update(1, version)
                    });
                    let stored =
                        store.commit(&lease, &at(3), &[change, insert(version + 9, None, None)]);
                    let stored = match stored {
                        Err(Error::InDoubt(_)) => settled(&*store, &lease),
                        stored => stored,
                    };
                    match stored {
                        Ok(verdicts) => {
                            assert_eq!(verdicts, [Verdict::Done; 2], "version {version}");
                            (version, text) = (version + 1, text + &said);
                        }
                        Err(error) => {
                            assert!(error.passes(), "{error:?}");
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                }
                (version, text)
            });
            for kill in 1..=KILLS {
                std::thread::sleep(Duration::from_millis(170 * kill));
                server.kill();
                server.start_again();
            }
            std::thread::sleep(Duration::from_millis(200));
            drop(ended);
            writer.join().expect("it does not panic")
        });
        assert!(acknowledged > KILLS, "only {acknowledged} commits");
        assert_eq!(written(&*store), (acknowledged, text));
        let counts = store.counts(None).expect("reads");
        assert_eq!(
            counts.iter().map(|(_, count)| count).sum::<u64>(),
            acknowledged
        );
    }
}

/// Who has the store for himself shares it with nobody, and the other way round.
#[test]
fn a_store_is_one_daemons_or_shared() {
    let Some(database) = Database::new() else {
        return;
    };
    let (alone, lease) = store(&database);
    let other = database.open();
    let refused = [
        other.claim("other", &at(2), SECOND),
        other.join("other", &at(2), SECOND),
    ];
    for answer in refused {
        let Err(Error::Leased { holder, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(holder, "a test");
    }
    // Its end is enough.
    drop(alone);
    let node = other.join("other", &at(3), SECOND).expect("joins");
    let third = database.open();
    third.join("third", &at(3), SECOND).expect("joins");
    let refused = database.open().claim("fourth", &at(4), SECOND);
    assert!(matches!(refused, Err(Error::Leased { .. })), "{refused:?}");
    assert!(node.epoch > lease.epoch);
}

/// A blob of several rows, and one whose parts were on their way when its daemon died.
#[test]
fn large_blobs_lie_in_parts() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease) = store(&database);
    let bytes: Vec<u8> = (0..(2u32 << 20) + 77).map(|n| (n / 251) as u8).collect();
    let large = Digest::of(&bytes);
    let put = [Change::Blob {
        digest: large,
        bytes: bytes.clone(),
        pack: None,
    }];
    store.commit(&lease, &at(2), &put).expect("commits");
    assert_eq!(store.blob(&large).expect("reads"), Some(bytes.clone()));
    let sql = |sql: &str| database.server.sql(&database.name, sql);
    let parts = "SELECT count(*) FROM dormouse.blob_parts WHERE number > 0";
    assert_eq!(sql(parts), "2");
    // Its row is gone, and its parts are there still: nobody sees it, and it can be put again.
    sql("DELETE FROM dormouse.blobs WHERE size > 1000000");
    assert_eq!(store.blob(&large).expect("reads"), None);
    store.commit(&lease, &at(3), &put).expect("commits");
    assert_eq!(store.blob(&large).expect("reads"), Some(bytes.clone()));
    // Parts are missing, which the batch finds.
    sql("DELETE FROM dormouse.blobs WHERE size > 1000000");
    sql("DELETE FROM dormouse.blob_parts WHERE number = 1");
    store.commit(&lease, &at(4), &put).expect("commits");
    assert_eq!(store.blob(&large).expect("reads"), Some(bytes));
    // Pruned with all of its parts.
    let pruned = store.prune(&lease, &at(9), at(8).now).expect("prunes");
    assert_eq!((pruned, sql(parts)), (2, "0".into()));
    assert!(!store.has_blob(&digest("module")).expect("reads"));
}

/// A schema that only later builds can use is refused and left as it is; one that has only more in it
/// is not.
#[test]
fn a_schema_of_later_builds_is_refused() {
    let Some(database) = Database::new() else {
        return;
    };
    drop(store(&database));
    let sql = |sql: &str| database.server.sql(&database.name, sql);
    sql("UPDATE dormouse.meta SET schema = 7");
    drop(Postgres::open(&database.url()).expect("it has only more in it"));
    sql("UPDATE dormouse.meta SET oldest = 6");
    let refused = Postgres::open(&database.url()).map(drop);
    let Err(error @ Error::Schema { found: 7, .. }) = refused else {
        panic!("{refused:?}");
    };
    let text = error.to_string();
    assert!(
        text.contains(&database.name) && text.contains("schema 7"),
        "{text}"
    );
    assert_eq!(sql("SELECT schema FROM dormouse.meta"), "7");
}

/// Nodes that start at one time do not get into each other's way.
#[test]
fn the_schema_is_made_once() {
    let Some(database) = Database::new() else {
        return;
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| drop(database.open()));
        }
    });
    let count = "SELECT count(*) FROM dormouse.meta";
    assert_eq!(database.server.sql(&database.name, count), "1");
}

/// A server compiles statements that it takes for dear, for longer than they run: a claim was one where
/// there were snapshots of many chunks, whatever was claimed.
#[test]
fn claims_are_not_compiled() {
    let settings = ["fsync=off", "shared_preload_libraries=pg_stat_statements"];
    let Some(server) = Server::start(&settings) else {
        return;
    };
    let database = Database::on(&server);
    let (store, lease) = store(&database);
    let sql = |sql: &str| server.sql(&database.name, sql);
    sql("CREATE EXTENSION pg_stat_statements");
    sql("INSERT INTO dormouse.chunks
         SELECT pack, number, 'x' FROM generate_series(1, 40) pack, generate_series(1, 1000) number");
    sql("ANALYZE dormouse.chunks");
    let due = [insert(1, Some(50), None)];
    store.commit(&lease, &at(2), &due).expect("commits");
    let wish = Wish {
        own_until: steady(60),
        any_until: steady(60),
        limit: 9,
        classes: vec![ClassId::ANY],
    };
    let claimed = store.claim_due(&lease, &wish).expect("claims");
    assert_eq!(claimed.len(), 1);
    let told = sql(
        "SELECT sum(calls), sum(jit_functions) FROM pg_stat_statements
         WHERE query LIKE '%FROM claim%ORDER BY%'",
    );
    assert_eq!(told, "1|0");
}

/// `functions.sql` names a state by its number.
#[test]
fn states_have_the_numbers_that_the_functions_name() {
    assert_eq!(state_number(TaskState::Moved), 9);
}
