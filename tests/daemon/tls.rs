//! `serve --tls-cert --tls-key`: TLS at the API, and how commands know the daemon. curl says what a
//! client that is not ours sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::guest;

/// A folder with a certificate that signed itself, its key, and room for a daemon.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(folder())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a new certificate for a name, and its key.
    fn make(&self, name: &str) {
        let made = rcgen::generate_simple_self_signed(vec![name.into()]).expect("a key");
        fs::write(self.path("cert.pem"), made.cert.pem()).expect("written");
        fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    }

    fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[&str]) -> Daemon {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let text = |path: &Path| path.display().to_string();
        // Where the commands of this user look for it.
        let data = self.path("dormouse");
        let (cert, key) = (text(&cert), text(&key));
        let mut options = vec!["--tls-cert", &cert, "--tls-key", &key];
        options.extend(more);
        Daemon::start(&data, &options)
    }

    /// A command of the binary's; without a URL, it looks for the daemon of this user.
    fn command(&self, arguments: &[&str], url: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command
            .args(arguments)
            .env("XDG_DATA_HOME", self.0.path())
            .env_remove("DORMOUSE_URL")
            .env_remove("DORMOUSE_TLS_CA")
            .stdin(Stdio::null());
        if let Some(url) = url {
            command.env("DORMOUSE_URL", url);
        }
        command.output().expect("the binary runs")
    }

    /// What curl makes of the daemon, with this file as the only authority.
    fn curl(&self, daemon: &Daemon, authority: &Path) -> Output {
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "60", "--cacert"])
            .arg(authority)
            .args([
                "--header",
                &format!("Authorization: Bearer {}", daemon.token),
            ])
            .arg(format!("https://{}/v1/stats", daemon.address))
            .output()
            .expect("curl is there")
    }
}

fn https(daemon: &Daemon) -> String {
    format!("https://{}@{}", daemon.token, daemon.address)
}

#[test]
fn commands_and_other_clients_speak_tls_with_a_daemon_that_they_trust() {
    let place = Place::new();
    place.make("127.0.0.1");
    let cert = place.path("cert.pem");
    let daemon = place.start();
    let seen = place.curl(&daemon, &cert);
    assert!(text(&seen.stdout).contains("\"version\""), "{seen:?}");
    // A whole round, with an upload and a live stream.
    let url = https(&daemon);
    let ca = format!("--tls-ca={}", cert.display());
    let nap = guest("ex_nap").display().to_string();
    let submitted = place.command(&["submit", &ca, &nap], Some(&url));
    assert_eq!(submitted.status.code(), Some(0), "{submitted:?}");
    let followed = place.command(&["logs", "-f", &ca, "1"], Some(&url));
    assert_eq!(followed.status.code(), Some(0), "{followed:?}");
    assert!(!followed.stdout.is_empty(), "{followed:?}");
    // The machine does not trust it.
    let refused = place.command(&["ps"], Some(&url));
    assert_eq!(refused.status.code(), Some(74), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(
        said.contains("is not trusted") && said.contains("--tls-ca"),
        "{said}"
    );
    // A URL of the wrong kind says what to do, both ways.
    let plain = place.command(&["ps"], Some(&url.replace("https", "http")));
    assert!(text(&plain.stderr).contains("https://"), "{plain:?}");
    let answer = daemon.ask_with(Method::GET, "/v1/stats", &[], &[]);
    let (status, body) = answer.expect("an answer in plain HTTP");
    assert_eq!(status, 400, "{}", text(&body));
    let other = folder();
    let without = Daemon::start(other.path(), &[]);
    let wrong = place.command(&["ps", &ca], Some(&https(&without)));
    assert_eq!(wrong.status.code(), Some(74), "{wrong:?}");
    assert!(text(&wrong.stderr).contains("http://"), "{wrong:?}");
    // Whoever connects and says nothing holds nobody up.
    let silent = std::net::TcpStream::connect(&daemon.address).expect("it listens");
    let ps = place.command(&["ps", &ca], Some(&url));
    assert_eq!(ps.status.code(), Some(0), "{ps:?}");
    drop(silent);
    assert_eq!(daemon.stop(), Some(0));
}

/// The daemon's certificate is for another name, and no authority has signed it.
#[test]
fn this_users_own_daemon_is_known_by_its_certificate_alone() {
    let place = Place::new();
    place.make("box.example.com");
    let daemon = place.start();
    let ps = place.command(&["ps"], None);
    assert_eq!(ps.status.code(), Some(0), "{ps:?}");
    // The name counts where the URL is given.
    let ca = format!("--tls-ca={}", place.path("cert.pem").display());
    let named = place.command(&["ps", &ca], Some(&https(&daemon)));
    assert_eq!(named.status.code(), Some(74), "{named:?}");
    assert!(text(&named.stderr).contains("is not trusted"), "{named:?}");
    // Somebody else's daemon at the same address.
    let noted = place.path("dormouse/tls.pem");
    place.make("box.example.com");
    daemon.until_said("the certificate was replaced");
    let new = fs::read(&noted).expect("noted again");
    assert_eq!(place.command(&["ps"], None).status.code(), Some(0));
    place.make("box.example.com");
    daemon.until_that("it is noted", || {
        (fs::read(&noted).expect("it is there") != new).then_some(())
    });
    fs::write(&noted, new).expect("written");
    let other = place.command(&["ps"], None);
    assert_eq!(other.status.code(), Some(74), "{other:?}");
}

#[test]
fn a_certificate_is_replaced_without_a_restart_and_a_broken_pair_keeps_the_one_of_before() {
    let place = Place::new();
    place.make("127.0.0.1");
    let old = place.path("old.pem");
    fs::copy(place.path("cert.pem"), &old).expect("copied");
    let daemon = place.start();
    assert!(place.curl(&daemon, &old).status.success());
    fs::write(place.path("key.pem"), "no key").expect("written");
    daemon.until_said("there is no private key in PEM");
    daemon.until_said("clients are shown the certificate of before");
    assert!(place.curl(&daemon, &old).status.success());
    place.make("127.0.0.1");
    daemon.until_said("the certificate was replaced");
    assert!(
        place
            .curl(&daemon, &place.path("cert.pem"))
            .status
            .success()
    );
    assert!(!place.curl(&daemon, &old).status.success());
    // A SIGHUP looks at once, and does not end the daemon.
    let pid = Pid::from_raw(daemon.pid().cast_signed()).expect("a process");
    kill_process(pid, Signal::HUP).expect("it runs");
    daemon.until_said("the certificate is the same as before");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_daemon_whose_certificate_cannot_be_used_does_not_start() {
    let place = Place::new();
    place.make("127.0.0.1");
    let (cert, key) = (place.path("cert.pem"), place.path("key.pem"));
    let other = rcgen::KeyPair::generate().expect("a key");
    fs::write(place.path("other.pem"), other.serialize_pem()).expect("written");
    let cases = [
        (place.path("none.pem"), key.clone(), 66, "cannot read"),
        (key.clone(), key.clone(), 64, "there is no certificate"),
        (cert.clone(), cert.clone(), 64, "there is no private key"),
        (cert, place.path("other.pem"), 64, "cannot be used with"),
    ];
    for (cert, key, code, part) in cases {
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let options = ["--tls-cert", &cert, "--tls-key", &key];
        let Err(said) = Daemon::try_start(&place.path("dormouse"), &options) else {
            panic!("it started with {cert} and {key}");
        };
        assert!(said.contains(part), "{said}");
        assert!(said.contains(&format!("exit code Some({code})")), "{said}");
    }
    let alone = Daemon::try_start(&place.path("dormouse"), &["--tls-cert", "x"]);
    assert!(alone.is_err_and(|said| said.contains("--tls-key")));
}

/// Daemons know each other by keys of their own, whatever certificates their APIs show.
#[test]
fn tasks_move_between_daemons_whose_apis_speak_tls() {
    let places = [Place::new(), Place::new()];
    let daemons = places.each_ref().map(|place| {
        place.make("box.example.com");
        place.start_with(&["--peer-listen", "127.0.0.1:0"])
    });
    let done = |place: &Place, words: &[&str]| {
        let output = place.command(words, None);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        text(&output.stdout)
    };
    let known = places.each_ref().map(|place| {
        let said = done(place, &["peers", "--json"]);
        serde_json::from_str::<serde_json::Value>(&said).expect("JSON")
    });
    for (place, other) in [(&places[0], &known[1]), (&places[1], &known[0])] {
        let fingerprint = other["fingerprint"].as_str().expect("a fingerprint");
        let address = other["listens"].as_str().expect("an address");
        let add = ["peers", "add", "other", fingerprint, "--address", address];
        done(place, &add);
    }
    let sleeper = guest("ex_sleeper").display().to_string();
    done(&places[0], &["submit", "--name", "nap", &sleeper, "3600"]);
    done(&places[0], &["migrate", "nap", "other"]);
    assert!(done(&places[1], &["ps"]).contains("nap"));
    for daemon in daemons {
        assert_eq!(daemon.stop(), Some(0));
    }
}
