//! TLS to the server. PostgreSQL itself says which connections are encrypted, and which it refuses.

use std::fs;
use std::path::PathBuf;

use dormouse_test_support::ports::free_port;
use dormouse_test_support::postgres::{Server, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Database;
use crate::error::Error;
use crate::postgres::Postgres;
use crate::store::Store;

/// The name in the server's certificate.
const NAME: &str = "db.example.com";

/// Over TCP, all but `plain` are taken with TLS only.
const CLIENTS: &str = "\
local all all trust
host all plain 127.0.0.1/32 trust
hostssl all mouse 127.0.0.1/32 cert
hostssl all secret 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 trust";

/// An authority, which signs.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(parameters, key).expect("a certificate")
}

/// A certificate for a name and its key, both in PEM.
fn signed(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(vec![name.into()]).expect("a name");
    parameters.distinguished_name.push(DnType::CommonName, name);
    let certificate = parameters
        .signed_by(&key, authority)
        .expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// A server with TLS, a database on it, and files for clients.
struct Secured {
    server: Server,
    port: u16,
    database: String,
    authority: Authority,
    folder: tempfile::TempDir,
}

impl Secured {
    fn start() -> Option<Self> {
        let authority = authority("an authority");
        let (certificate, key) = signed(&authority, NAME);
        let port = free_port();
        let server = Server::start_tls(
            port,
            &ServerTls {
                certificate,
                key,
                authority: authority.pem(),
                clients: CLIENTS,
            },
        )?;
        let roles = "CREATE ROLE mouse SUPERUSER LOGIN; CREATE ROLE plain SUPERUSER LOGIN; \
                     CREATE ROLE secret SUPERUSER LOGIN PASSWORD 'cheese'";
        server.sql("postgres", roles);
        let secured = Self {
            database: server.create_database(),
            server,
            port,
            folder: tempfile::tempdir().expect("a folder"),
            authority,
        };
        secured.write("ca.pem", &secured.authority.pem());
        Some(secured)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it is written");
    }

    /// The URL for a user, by the host's name; `{}` in the parameters is the folder.
    fn url(&self, user: &str, parameters: &str) -> String {
        let (port, database) = (self.port, &self.database);
        let folder = self.folder.path().display().to_string();
        let parameters = parameters.replace("{}", &folder);
        format!("postgres://{user}@{NAME}:{port}/{database}?hostaddr=127.0.0.1&{parameters}")
    }

    /// Opens a store; says how many of its connections are encrypted, and how many are not.
    fn open(&self, user: &str, parameters: &str) -> Result<(u64, u64), Error> {
        self.open_url(&self.url(user, parameters))
    }

    fn open_url(&self, url: &str) -> Result<(u64, u64), Error> {
        let store = Postgres::open(url)?;
        store.number()?;
        let of = |ssl: bool| {
            let sql = format!(
                "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                 WHERE application_name = 'dormouse' AND ssl = {ssl}"
            );
            self.server.sql(&self.database, &sql).parse()
        };
        let count = (of(true).expect("a number"), of(false).expect("a number"));
        drop(store);
        // The next one counts its own.
        let gone = "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity
                    WHERE application_name = 'dormouse'";
        self.server.sql(&self.database, gone);
        Ok(count)
    }

    /// Why a store is not opened.
    fn refused(&self, user: &str, parameters: &str) -> String {
        let refused = self.open(user, parameters);
        refused.expect_err(parameters).to_string()
    }
}

#[test]
fn what_is_asked_for_is_what_the_server_sees() {
    let Some(secured) = Secured::start() else {
        return;
    };
    for encrypted in [
        "",
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=require&sslrootcert={}/ca.pem",
        "sslmode=verify-ca&sslrootcert={}/ca.pem",
        "sslmode=verify-full&sslrootcert={}/ca.pem",
    ] {
        let (with, without) = secured.open("postgres", encrypted).expect(encrypted);
        assert!(with > 0 && without == 0, "{encrypted}: {with}, {without}");
    }
    let (with, without) = secured.open("plain", "sslmode=disable").expect("allowed");
    assert!(with == 0 && without > 0, "{with}, {without}");
    let told = secured.refused("postgres", "sslmode=disable");
    assert!(
        told.contains("no encryption") && told.contains("sslmode=require"),
        "{told}"
    );
}

#[test]
fn a_certificate_that_is_not_the_servers_is_refused() {
    let Some(secured) = Secured::start() else {
        return;
    };
    // The certificate is for a name, and not for the address.
    let by_address = |mode: &str| {
        let (port, database) = (secured.port, &secured.database);
        let ca = secured.path("ca.pem");
        let ca = ca.display();
        secured.open_url(&format!(
            "postgres://postgres@127.0.0.1:{port}/{database}?sslmode={mode}&sslrootcert={ca}"
        ))
    };
    by_address("verify-ca").expect("no name counts");
    let told = by_address("verify-full").expect_err("another name");
    assert!(told.passes(), "{told:?}");
    let told = told.to_string();
    assert!(told.contains("not valid for name"), "{told}");
    assert!(told.contains("127.0.0.1") && told.contains(NAME), "{told}");
    // Another authority's.
    secured.write("other.pem", &authority("another authority").pem());
    for mode in ["require", "verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}&sslrootcert={{}}/other.pem");
        let told = secured.refused("postgres", &parameters);
        assert!(told.contains("UnknownIssuer"), "{mode}: {told}");
    }
    // Nor is one of the machine's authorities behind it.
    let told = secured.refused("postgres", "sslrootcert=system");
    assert!(
        told.contains("UnknownIssuer") || told.contains("trusts no authority"),
        "{told}"
    );
    // With `prefer`, whoever is in between could do without TLS anyway.
    let weak = "sslmode=prefer&sslrootcert={}/other.pem";
    let (with, without) = secured.open("plain", weak).expect("without TLS");
    assert!(with == 0 && without > 0, "{with}, {without}");
}

/// The server asks for a certificate of the client's, or for a password that is bound to its own
/// certificate, so that nobody in between can pass it on.
#[test]
fn clients_show_who_they_are() {
    let Some(secured) = Secured::start() else {
        return;
    };
    let (certificate, key) = signed(&secured.authority, "mouse");
    secured.write("mouse.pem", &certificate);
    secured.write("mouse.key", &key);
    let own = "sslmode=verify-full&sslrootcert={}/ca.pem&sslcert={}/mouse.pem&sslkey={}/mouse.key";
    let (with, without) = secured.open("mouse", own).expect("it is the mouse");
    assert!(with > 0 && without == 0, "{with}, {without}");
    let told = secured.refused("mouse", "sslmode=require");
    assert!(told.contains("client certificate"), "{told}");
    let (certificate, _) = signed(&secured.authority, "rat");
    secured.write("mouse.pem", &certificate);
    let told = secured.refused("mouse", own);
    assert!(told.contains("sslcert and sslkey"), "another key: {told}");
    let bound = "sslmode=require&channel_binding=require";
    secured.open("secret:cheese", bound).expect("it is right");
    let told = secured.refused("secret:milk", bound);
    assert!(told.contains("password authentication failed"), "{told}");
}

/// A server that does not speak TLS is asked without, where that is allowed.
#[test]
fn a_server_without_tls_is_told_from_one_with_it() {
    let Some(database) = Database::new() else {
        return;
    };
    let (port, _losses) = dormouse_test_support::proxy::proxy(database.server.socket());
    let url = |mode| {
        let name = &database.name;
        format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode={mode}")
    };
    for mode in ["disable", "prefer"] {
        drop(Postgres::open(&url(mode)).expect(mode));
    }
    let told = Postgres::open(&url("require")).map(drop);
    let told = told.expect_err("it cannot").to_string();
    assert!(told.contains("server does not support TLS"), "{told}");
}
