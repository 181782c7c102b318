//! Databases for tests, on a server that they share.

use std::sync::OnceLock;

use dormouse_test_support::postgres::Server;

use super::super::fixtures::Place;
use crate::nodes::Nodes;
use crate::postgres::Postgres;

/// A database, which is dropped in the end.
pub(crate) struct Database<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
}

/// The server that most tests share; `None` where there is none on this machine.
fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED
        .get_or_init(|| Server::start(&["fsync=off"]))
        .as_ref()
}

impl Database<'static> {
    /// One on the server that tests share.
    pub(crate) fn new() -> Option<Self> {
        shared().map(Self::on)
    }
}

impl<'a> Database<'a> {
    /// A new one on a server.
    pub(crate) fn on(server: &'a Server) -> Self {
        let name = server.create_database();
        Self { server, name }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }
}

impl Place for Database<'_> {
    fn open(&self) -> Box<dyn Nodes> {
        Box::new(Postgres::open(&self.url()).expect("it opens"))
    }

    fn number_elsewhere(&self) -> u64 {
        Self::on(self.server).open().number().expect("reads")
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let name = &self.name;
            self.server
                .sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}
