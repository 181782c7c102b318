//! Several servers, of which one takes changes, and commits whose wait for a standby is cancelled.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_test_support::postgres::Server;
use dormouse_test_support::proxy::{Losses, proxy};

use super::super::fixtures::{SECOND, at, blob, insert, steady, store};
use super::{Database, StopAtEnd, says, settled, written};
use crate::change::Verdict;
use crate::class::ClassId;
use crate::error::Error;
use crate::model::{TaskId, When};
use crate::nodes::{Nodes, Wish};
use crate::postgres::Postgres;
use crate::store::{Lease, Store};

/// So often something is tried that works in the end.
const MOST_TRIES: usize = 100;

/// A server where each commit waits for a standby that there is none of, once it is told so.
const WITHOUT_STANDBY: [&str; 3] = [
    "fsync=off",
    "synchronous_standby_names=nobody",
    "synchronous_commit=local",
];

/// Whether the store's connections from now on wait for a standby; those that there are end, and the
/// next question finds another one.
fn wait_for_standby(database: &Database<'_>, store: &dyn Nodes, wait: bool) {
    let how = if wait { "on" } else { "local" };
    let (server, name) = (database.server, &database.name);
    let set = format!("ALTER DATABASE {name} SET synchronous_commit = {how}");
    server.sql("postgres", &set);
    // It waits for their end, a minute at most.
    let end = format!(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    server.sql("postgres", &end);
    let is_connected = (0..MOST_TRIES).any(|_| store.counts(None).is_ok());
    assert!(is_connected, "it answers");
}

/// Does something while each wait for a standby is cancelled.
fn while_cancelled<T: Send>(server: &Server, work: impl FnOnce() -> T + Send) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ended = StopAtEnd(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                     WHERE wait_event = 'SyncRep'";
                server.sql("postgres", cancel);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let done = work();
        drop(ended);
        done
    })
}

/// Somebody cancels the wait for the standby, after which the server says that the commit is done: it is
/// not acknowledged before something later has had its wait.
#[test]
fn a_commit_whose_wait_for_a_standby_is_cancelled_is_not_acknowledged() {
    let Some(server) = Server::start(&WITHOUT_STANDBY) else {
        return;
    };
    let database = Database::on(&server);
    let (store, lease) = store(&database);
    let first = [insert(1, None, None)];
    store.commit(&lease, &at(2), &first).expect("commits");
    wait_for_standby(&database, &*store, true);
    let told = while_cancelled(&server, || {
        let told = store.commit(&lease, &at(3), &[says(1, "a")]);
        let read = store.task(TaskId(1));
        assert!(matches!(read, Err(Error::Unreachable(_))), "{read:?}");
        told
    });
    assert!(matches!(told, Err(Error::InDoubt(_))), "{told:?}");
    wait_for_standby(&database, &*store, false);
    let told = (0..MOST_TRIES).find_map(|_| store.settle(&lease).ok());
    let told = told.expect("it is settled");
    assert_eq!(told, Some(vec![Verdict::Done]));
    assert_eq!(written(&*store), (2, "a".into()));
}

/// The same of a claim and of a beat: a node that acted on them could find, after a failover, that the
/// tasks were another's.
#[test]
fn a_claim_whose_wait_for_a_standby_is_cancelled_counts_for_nothing() {
    let Some(server) = Server::start(&WITHOUT_STANDBY) else {
        return;
    };
    let database = Database::on(&server);
    let (store, lease) = store(&database);
    let due = [insert(1, Some(50), None)];
    store.commit(&lease, &at(2), &due).expect("commits");
    let wish = Wish {
        own_until: steady(60),
        any_until: steady(60),
        limit: 9,
        classes: vec![ClassId::ANY],
    };
    wait_for_standby(&database, &*store, true);
    while_cancelled(&server, || {
        let claimed = store.claim_due(&lease, &wish);
        assert!(matches!(claimed, Err(Error::Unreachable(_))), "{claimed:?}");
        let owned = store.owned(&lease);
        assert!(matches!(owned, Err(Error::Unreachable(_))), "{owned:?}");
        // The first one may find that its connection has ended.
        for _ in 0..2 {
            let beaten = store.beat(&lease, "");
            assert!(matches!(beaten, Err(Error::Unreachable(_))), "{beaten:?}");
        }
    });
    wait_for_standby(&database, &*store, false);
    let owned = (0..MOST_TRIES).find_map(|_| store.owned(&lease).ok());
    assert_eq!(owned.expect("it is answered"), [TaskId(1)]);
}

/// A store behind two proxies, as if they were two servers.
fn behind_two(database: &Database<'_>) -> (Postgres, Lease, [Arc<Losses>; 2]) {
    let (first, first_losses) = proxy(database.server.socket());
    let (second, second_losses) = proxy(database.server.socket());
    let hosts = format!("127.0.0.1:{first},127.0.0.1:{second}");
    let url = format!("postgres://postgres@{hosts}/{}", database.name);
    let store = Postgres::open(&url).expect("it opens");
    let lease = store.join("a test", &at(1), 60 * SECOND).expect("joins");
    let batch = [blob("module"), insert(1, None, None)];
    store.commit(&lease, &at(2), &batch).expect("commits");
    (store, lease, [first_losses, second_losses])
}

/// The first host takes connections and never says a word, as the address of a machine does that is
/// stopped: the others are tried.
#[test]
fn a_host_that_says_nothing_is_not_waited_for() {
    let Some(database) = Database::new() else {
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent = silent.local_addr().map(|address| (silent, address.port()));
    let (_listener, silent) = silent.expect("it has a port");
    let (port, _) = proxy(database.server.socket());
    let hosts = format!("127.0.0.1:{silent},127.0.0.1:1,127.0.0.1:{port}");
    let url = format!("postgres://postgres@{hosts}/{}", database.name);
    let store = Postgres::open(&url).expect("it opens");
    let lease = store.join("a test", &at(1), 60 * SECOND).expect("joins");
    let batch = [blob("module"), insert(1, None, None)];
    store.commit(&lease, &at(2), &batch).expect("commits");
    store.beat(&lease, "").expect("beats");
}

/// The server that a store is connected to is gone: the next one is used.
#[test]
fn where_one_server_is_gone_the_next_one_is_used() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease, [first, second]) = behind_two(&database);
    for (gone, version) in [(&first, 1), (&second, 2)] {
        let other = if version == 1 { &second } else { &first };
        other.all.store(false, Ordering::SeqCst);
        gone.all.store(true, Ordering::SeqCst);
        let told = (0..MOST_TRIES).find_map(|_| {
            match store.commit(&lease, &at(3), &[says(version, "x")]) {
                Err(Error::InDoubt(_)) => settled(&store, &lease).ok(),
                told => told.ok(),
            }
        });
        assert_eq!(told.expect("commits"), [Verdict::Done], "version {version}");
    }
    assert_eq!(written(&store), (3, "xx".into()));
}

/// Lets go of what waits at a server, also where a test fails.
struct EndsWaiting(Arc<Losses>);

impl Drop for EndsWaiting {
    fn drop(&mut self) {
        self.0.all.store(true, Ordering::SeqCst);
    }
}

/// A primary server answers nothing any more, and its connections stay, as where its Patroni has died:
/// once the lease is renewed at another server, what waits for the first one goes on there.
#[test]
fn what_waits_for_an_earlier_primary_goes_on_at_the_next() {
    let Some(database) = Database::new() else {
        return;
    };
    let (store, lease, [first, _second]) = behind_two(&database);
    store.beat(&lease, "").expect("beats");
    let first = EndsWaiting(first);
    first.0.silent.store(true, Ordering::SeqCst);
    let told = std::thread::scope(|scope| {
        let commit = scope.spawn(|| store.commit(&lease, &at(3), &[says(1, "a")]));
        let mut beaten = false;
        for _ in 0..MOST_TRIES {
            beaten = beaten || store.beat(&lease, "").is_ok();
        }
        if !beaten {
            drop(first);
        }
        assert!(beaten, "the lease is renewed at the other one");
        commit.join().expect("it does not panic")
    });
    assert_eq!(told.expect("it is stored"), [Verdict::Done]);
    assert_eq!(written(&store), (2, "a".into()));
    let task = store.task(TaskId(1)).expect("reads").expect("is there");
    assert_eq!(task.due.map(When::steady), Some(When::steady(steady(70))));
}
