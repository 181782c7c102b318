//! A snapshot gives a task no more than whoever resumes it grants, whatever it says: rights, directories, paths,
//! listeners, sockets, limits.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::escapes::Host;
use crate::{lines, sleep, steps, wake};
use dormouse_test_support::forge::{self, INSTANCE, WASI};
use dormouse_test_support::ports::{free_port, is_in};
use dormouse_test_support::{ended, stderr};

/// A snapshot whose WASI state was changed.
struct Forged {
    host: Host,
    honest: Vec<forge::Section>,
}

impl Forged {
    /// Asleep with a file and a directory open, and these steps ahead.
    fn new(ahead: &[&str]) -> Self {
        let host = Host::new();
        symlink("../outside", host.path("a/out")).expect("a link");
        let before = ["open 3 file", "open 3 sub d", "sleep 1"];
        let script = steps(&[&before[..], ahead].concat());
        let snapshot = host.path("snapshot");
        sleep(&snapshot, &host.dirs(), &script);
        let bytes = fs::read(&snapshot).expect("it was written");
        let honest = forge::sections(&bytes);
        Self { host, honest }
    }

    fn resume(
        &self,
        section: u32,
        change: impl Fn(&mut Value),
        flags: &[String],
    ) -> std::process::Output {
        let mut sections = self.honest.clone();
        forge::change(&mut sections, section, change);
        let path = self.host.path("snapshot");
        fs::write(&path, forge::file(&sections)).expect("a scratch file");
        let output = wake(&path, flags);
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        output
    }

    /// Refused before the guest runs.
    fn refused(&self, codes: &[i32], change: impl Fn(&mut Value)) {
        let output = self.resume(WASI, change, &self.host.dirs());
        let code = output.status.code().expect("it ended");
        assert!(codes.contains(&code), "{code}: {}", stderr(&output));
        assert!(
            output.stdout.is_empty(),
            "the guest ran: {:?}",
            lines(&output)
        );
    }
}

/// The descriptors: 0 to 2 the streams, 3 and 4 the directories, 5 a file, 6 a directory below.
fn fd(state: &mut Value, number: usize) -> &mut Value {
    &mut state["fds"][number]
}

#[test]
fn paths_lead_nowhere_else() {
    let forged = Forged::new(&["read 5", "open 6 secret"]);
    let absolute = forged.host.path("outside/secret").display().to_string();
    let up = forged.host.path("outside").display().to_string();
    for path in [
        "../outside/secret",
        "sub/../../outside/secret",
        "out/secret",
        &absolute,
        "/",
        "..",
        "",
    ] {
        forged.refused(&[67, 71], |state| {
            fd(state, 5)["kind"]["File"]["path"] = json!(path);
            fd(state, 5)["kind"]["File"]["identity"] =
                json!({ "size": 6, "modified": 0, "digest": null });
        });
    }
    for path in ["..", "../outside", "out", &up, "/", "sub/../.."] {
        forged.refused(&[67, 71], |state| {
            fd(state, 6)["kind"]["Dir"]["path"] = json!(path)
        });
    }
}

#[test]
fn directories_are_those_that_are_given() {
    let forged = Forged::new(&["read 5"]);
    for name in ["/", "/outside", "/etc", "", "/a/", "/a/..", "a"] {
        forged.refused(&[67, 69], |state| {
            fd(state, 3)["kind"] = json!({ "Preopen": name })
        });
        forged.refused(&[67, 69], |state| {
            fd(state, 6)["kind"]["Dir"]["preopen"] = json!(name);
        });
    }
    // Without any, the task has none.
    let output = forged.resume(WASI, |_| {}, &[]);
    ended(&output, 69).expect("it is told");
}

/// What a directory cannot do, a forged number of rights does not make it do; a file that the guest had open for
/// reading can be opened for writing by its owner's grant alone, and this is it: a directory is given with all.
#[test]
fn rights_are_those_of_the_kind() {
    let forged = Forged::new(&["write 5 x", "read 5"]);
    let every = u64::MAX;
    for number in 0..7 {
        forged.refused(&[67], |state| fd(state, number)["rights"] = json!(every));
        forged.refused(&[67], |state| {
            fd(state, number)["inheriting"] = json!(every)
        });
        forged.refused(&[67], |state| fd(state, number)["flags"] = json!(0xffff));
    }
    // Rights of writing on a descriptor for reading.
    forged.refused(&[67], |state| fd(state, 5)["rights"] = json!(1 << 6));
    // A stream in the place of another kind has a stream's rights.
    forged.refused(&[67], |state| {
        fd(state, 3)["kind"] = json!({ "Stream": "Stdout" })
    });
    let written = fs::read(forged.host.path("a/file")).expect("it is there");
    assert_eq!(written, b"inside a");
}

#[test]
fn listeners_are_those_that_are_given() {
    let forged = Forged::new(&["read 5"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    for address in [&*address, "127.0.0.1:0", "0.0.0.0:80", "", "unix:/x"] {
        forged.refused(&[67, 69], |state| {
            let fd = fd(state, 5);
            fd["kind"] = json!({ "Listener": address });
            fd["rights"] = json!(0);
        });
    }
}

/// Sockets that the snapshot says the guest has: none is bound, and nobody is spoken to, without a grant.
#[test]
fn sockets_need_a_grant() {
    let forged = Forged::new(&["sleep 300", "write 5 x"]);
    let port = free_port();
    let heard = UdpSocket::bind("127.0.0.1:0").expect("a port");
    heard.set_nonblocking(true).expect("a socket");
    let peer = heard.local_addr().expect("it is bound").port();
    let there = |port: u16| json!({ "V4": [[127, 0, 0, 1], port] });
    for datagram in [true, false] {
        for phase in [
            json!("Open"),
            json!("Bound"),
            json!("Connected"),
            json!("Connecting"),
            json!({ "Listening": { "backlog": 5 } }),
        ] {
            for bound in [true, false] {
                for peer in [Value::Null, there(peer)] {
                    let socket = json!({ "Socket": {
                        "key": 1, "v6": false, "datagram": datagram, "phase": phase, "bound": bound,
                        "local": there(port), "peer": peer, "senders": [there(peer_port(&heard))],
                    } });
                    let output = forged.resume(
                        WASI,
                        |state| {
                            let fd = fd(state, 5);
                            fd["kind"] = socket.clone();
                            fd["rights"] = json!(0);
                        },
                        &forged.host.dirs(),
                    );
                    let code = output.status.code();
                    assert!(
                        matches!(code, Some(0 | 67 | 69)),
                        "{code:?}: {}",
                        stderr(&output)
                    );
                }
            }
        }
    }
    let mut byte = [0];
    assert!(heard.recv(&mut byte).is_err(), "it was spoken to");
}

fn peer_port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("it is bound").port()
}

/// An address that a forged socket claims is free while the task runs.
#[test]
fn no_address_is_taken_without_a_grant() {
    let forged = Forged::new(&["sleep 3000"]);
    let port = free_port();
    let mut sections = forged.honest.clone();
    forge::change(&mut sections, WASI, |state| {
        let fd = fd(state, 5);
        fd["kind"] = json!({ "Socket": {
            "key": 1, "v6": false, "datagram": true, "phase": "Open", "bound": false,
            "local": { "V4": [[127, 0, 0, 1], port] }, "peer": null,
        } });
        fd["rights"] = json!(0);
    });
    let path = forged.host.path("snapshot");
    fs::write(&path, forge::file(&sections)).expect("a scratch file");
    let mut command = dormouse_test_support::dormouse();
    command.arg("resume").args(forged.host.dirs()).arg(&path);
    let mut child = command.spawn().expect("it starts");
    let mut taken = false;
    for _ in 0..15 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        taken |= is_in("udp", port);
    }
    let _ = child.kill();
    let _ = child.wait();
    assert!(!taken, "port {port} was taken");
}

/// More memory than the module can have, and other types of numbers.
#[test]
fn limits_are_the_modules_and_the_hosts() {
    let forged = Forged::new(&["read 5"]);
    let forgeries: [fn(&mut Value); 4] = [
        |instance| instance["memories"][0]["size"] = json!(1_u64 << 40),
        |instance| instance["memories"][0]["size"] = json!(65537),
        |instance| instance["entry"] = json!(1),
        |instance| instance["pending"]["import"] = json!(1000),
    ];
    for change in forgeries {
        let output = forged.resume(INSTANCE, change, &forged.host.dirs());
        ended(&output, 67).expect("it is refused");
        assert!(output.stdout.is_empty(), "the guest ran");
    }
}

/// A state is taken whole or not at all: nothing was made or changed on the host by any that was refused.
#[test]
fn a_refused_snapshot_changes_nothing() {
    let forged = Forged::new(&["read 5"]);
    forged.refused(&[67, 71], |state| {
        let file = &mut fd(state, 5)["kind"]["File"];
        file["path"] = json!("new");
        file["access"] = json!([true, true]);
    });
    assert!(!forged.host.path("a/new").exists());
    forged.refused(&[67, 71], |state| {
        fd(state, 5)["kind"]["File"]["offset"] = json!(u64::MAX);
    });
    let kept = fs::read(forged.host.path("a/file")).expect("it is there");
    assert_eq!(kept, b"inside a");
}
