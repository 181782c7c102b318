//! A component that answers HTTP requests: what its peers get is what they get from `wasmtime
//! serve`, also with requests that are cut at each byte, and over suspends.

mod python;
mod server;
mod talks;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use dormouse_test_support::ports::free_address;
use dormouse_test_support::{check, dormouse, engines, guest};

use self::server::{Server, program, shown};
use self::talks::{CUT, TALKS};
use crate::http::compare;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |name: String, run: Box<dyn Fn() -> Result<(), String> + Send>| {
        let name = format!("serve::{name}");
        trials.push(Trial::test(name, move || run().map_err(Failed::from)));
    };
    for engine in engines() {
        for way in ["run", "rehearse"] {
            add(
                format!("{engine}::talks::{way}"),
                Box::new(move || talks(engine, way)),
            );
            add(
                format!("{engine}::cuts::{way}"),
                Box::new(move || cuts(engine, way)),
            );
        }
        add(format!("{engine}::large"), Box::new(move || large(engine)));
        add(format!("{engine}::waits"), Box::new(move || waits(engine)));
        add(format!("{engine}::ends"), Box::new(move || ends(engine)));
        add(
            format!("{engine}::suspended"),
            Box::new(move || suspended(engine)),
        );
        add(format!("{engine}::fetch"), Box::new(move || fetch(engine)));
        add(
            format!("{engine}::per_request"),
            Box::new(move || per_request(engine)),
        );
    }
    add("own_answers".into(), Box::new(own_answers));
    add("refused".into(), Box::new(refused));
    trials.extend(python::trials());
    trials
}

fn options(way: &str) -> &'static [&'static str] {
    match way {
        "rehearse" => &["--rehearse"],
        _ => &[],
    }
}

/// Each talk gives what it gives with Wasmtime.
fn talks(engine: &str, way: &str) -> Result<(), String> {
    let oracle = Server::wasmtime()?;
    let server = Server::dormouse(engine, options(way))?;
    for (name, text) in TALKS {
        let expected = shown(&oracle.talk(&[text]));
        let found = shown(&server.talk(&[text]));
        compare(name, &found, &expected)?;
    }
    Ok(())
}

/// So does each that is cut, at each byte.
fn cuts(engine: &str, way: &str) -> Result<(), String> {
    let oracle = Server::wasmtime()?;
    let server = Server::dormouse(engine, options(way))?;
    let cut = match way {
        "rehearse" => &CUT[2..],
        _ => &CUT[..],
    };
    for (name, text) in TALKS.iter().filter(|(name, _)| cut.contains(name)) {
        let expected = shown(&oracle.talk(&[text]));
        for at in 1..text.len() {
            let (first, second) = text.split_at(at);
            let found = shown(&server.talk(&[first, second]));
            compare(&format!("{name}, cut at {at}"), &found, &expected)?;
        }
    }
    Ok(())
}

/// Bodies that are larger than what is kept of them, both ways at once.
fn large(engine: &str) -> Result<(), String> {
    let body: String = (0..2_000_000u32)
        .map(|place| char::from(b'a' + (place % 23) as u8))
        .collect();
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let answers = [Server::wasmtime()?, Server::dormouse(engine, &[])?].map(|server| {
        let mut stream = server.connect();
        let mut sender = stream.try_clone().expect("a socket");
        let (request, body) = (request.clone(), body.clone());
        let sends = thread::spawn(move || {
            sender.write_all(request.as_bytes()).expect("it is sent");
            sender.write_all(body.as_bytes()).expect("it is sent");
        });
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("an answer");
        sends.join().expect("it has sent");
        shown(&all)
    });
    let [expected, found] = answers;
    check(expected.len() > body.len(), || "it is too short".into())?;
    compare("the answer", &found, &expected)
}

/// A peer that waits to be told to send its body, one that is slow, and one that says nothing. None
/// of them keeps others waiting.
fn waits(engine: &str) -> Result<(), String> {
    let server = Server::dormouse(engine, &[])?;
    let silent = server.connect();
    let mut slow = server.connect();
    slow.write_all(b"GET /fields HTT").expect("it is sent");
    let mut stream = server.connect();
    let head = "POST /show HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                Content-Length: 4\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut told = [0; 25];
    stream.read_exact(&mut told).expect("it is told");
    compare(
        "told",
        &String::from_utf8_lossy(&told),
        "HTTP/1.1 100 Continue\r\n\r\n",
    )?;
    stream.write_all(b"four").expect("it is sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an answer");
    let all = shown(&all);
    check(
        all.contains("4 bytes, ") && !all.contains("HTTP/1.1 100"),
        || all.clone(),
    )?;
    slow.write_all(b"P/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let mut all = Vec::new();
    slow.read_to_end(&mut all).expect("an answer");
    check(shown(&all).ends_with("some|\r\n\n"), || shown(&all))?;
    drop(silent);
    Ok(())
}

/// A guest that traps or ends in the middle of a request: its peer is told, and the command ends.
fn ends(engine: &str) -> Result<(), String> {
    for (path, code, answer) in [
        ("/trap", 134, "HTTP/1.1 500 Internal Server Error"),
        ("/exit", 1, "HTTP/1.1 500 Internal Server Error"),
        ("/half-trap", 134, "half(not whole)"),
    ] {
        let mut server = Server::dormouse(engine, &[])?;
        check(server.ask("/count").contains("request 1"), || {
            "count".into()
        })?;
        let found = server.ask(path);
        check(found.contains(answer), || format!("{path}: {found}"))?;
        let ended = server.exit_code();
        check(ended == Some(code), || format!("{path}: {ended:?}"))?;
    }
    // These end nothing.
    let server = Server::dormouse(engine, &[])?;
    for (count, path) in (1..).zip(["/error", "/none", "/kept"]) {
        let found = server.ask(path);
        let answer = "HTTP/1.1 500 Internal Server Error\nconnection: close\ncontent-length: 0";
        check(found.starts_with(answer), || format!("{path}: {found}"))?;
        let found = server.ask("/count");
        let wanted = format!("request {}\n", 2 * count);
        check(found.contains(&wanted), || found.clone())?;
    }
    Ok(())
}

/// Suspended between requests and in the middle of one. The state is kept, and a connection that
/// was lost is not answered.
fn suspended(engine: &str) -> Result<(), String> {
    let address = free_address();
    let mut server = Server::dormouse_at(&address, engine, &[])?;
    for count in 1..=2 {
        let found = server.ask("/count");
        check(found.contains(&format!("request {count}\n")), || found)?;
    }
    let mut idle = server.connect();
    idle.write_all(b"GET /cou").expect("it is sent");
    let mut engines = engines().into_iter().cycle();
    for count in [3, 5] {
        thread::sleep(Duration::from_millis(200));
        kill_process(Pid::from_child(&server.child), Signal::TERM).expect("it runs");
        let line = server.until_said("resume with: dormouse resume --http ")?;
        check(line.contains(&address), || line.clone())?;
        let code = server.exit_code();
        check(code == Some(75), || format!("{code:?}"))?;
        let mut all = Vec::new();
        // It was reset, or has ended.
        let _ = idle.read_to_end(&mut all);
        check(all.is_empty() || count == 5, || shown(&all))?;
        let next = engines.next().unwrap_or(engine);
        let mut command = dormouse();
        command.args(["resume", "--engine", next, "--http", &address, "./snapshot"]);
        let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().expect("a folder"));
        server = Server::start(command, folder)?;
        let found = server.ask("/count");
        check(found.contains(&format!("request {count}\n")), || found)?;
        // In the middle of an answer.
        idle = server.connect();
        idle.write_all(b"GET /slow/400 HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it is sent");
        let mut one = [0; 4];
        idle.read_exact(&mut one).expect("an answer");
    }
    Ok(())
}

/// A guest that asks another server while it answers.
fn fetch(engine: &str) -> Result<(), String> {
    let peer = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let authority = peer.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut stream in peer.incoming().flatten() {
            let mut buffer = [0; 1000];
            let _ = stream.read(&mut buffer);
            thread::sleep(Duration::from_millis(50));
            let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nsome");
        }
    });
    for option in [&[][..], &["--rehearse"]] {
        let options = [option, &["--allow-connect", &authority]].concat();
        let server = Server::dormouse(engine, &options)?;
        let found = server.ask(&format!("/fetch/{authority}/path"));
        let is_it = found.starts_with("HTTP/1.1 201 Created\n") && found.contains("fetched: some");
        check(is_it, || found)?;
    }
    Ok(())
}

/// Where dormouse answers otherwise than Wasmtime, on purpose.
fn own_answers() -> Result<(), String> {
    let server = Server::dormouse("wasmtime", &[])?;
    let bad = "HTTP/1.1 400 Bad Request\nconnection: close\ncontent-length: 0\n\n";
    // RFC 9112, section 3.2.
    let found = shown(&server.talk(&["GET /show HTTP/1.1\r\n\r\n"]));
    compare("no host", &found, bad)?;
    let found = shown(&server.talk(&["GET /show HTTP/1.0\r\n\r\n"]));
    check(found.contains("Some(Scheme::Http) None"), || found)?;
    // A peer that has sent all it wants to is answered.
    let mut stream = server.connect();
    stream
        .write_all(b"GET /fields HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    stream.shutdown(Shutdown::Write).expect("a socket");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an answer");
    check(shown(&all).starts_with("HTTP/1.1 200 OK\n"), || shown(&all))?;
    // RFC 9112, section 6.1: the length goes, and the connection is not used again.
    let both = "POST /show HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\
                Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let found = shown(&server.talk(&[both]));
    let is_it = found.contains("connection: close\n") && found.contains("2 bytes, ");
    check(
        is_it && found.matches("content-length").count() == 1,
        || found,
    )?;
    // Behind a body that is none nobody knows where the next request begins: that is told as well.
    let broken = "POST /show HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhelloXX";
    let found = shown(&server.talk(&[broken]));
    let is_it = found.contains("connection: close\n") && found.contains("5 bytes, ");
    check(is_it && found.contains("failed true"), || found)?;
    // A body that is given up ends with the connection. hyper may have sent nothing of it by then.
    for path in ["/dropped", "/left"] {
        let found = server.ask(path);
        check(found.ends_with("half(not whole)\n"), || found)?;
    }
    // A head that is too large.
    let mut large = String::from("GET / HTTP/1.1\r\nHost: a\r\n");
    for number in 0..101 {
        large += &format!("x-{number}: 1\r\n");
    }
    let found = shown(&server.talk(&[&(large + "\r\n")]));
    check(found.starts_with("HTTP/1.1 431 "), || found)?;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
    let found = shown(&server.talk(&[&long]));
    check(found.starts_with("HTTP/1.1 414 "), || found)?;
    // Another protocol.
    let found = server.talk(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]);
    check(found.is_empty(), || shown(&found))
}

/// A component that cannot do what is asked of it.
fn refused() -> Result<(), String> {
    let (_folder, path) = program()?;
    let run = |arguments: &[&str]| {
        let output = dormouse().args(arguments).output().expect("it starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = run(&["run", &path]);
    check(
        code == Some(65) && said.contains("dormouse serve-http"),
        || said.clone(),
    )?;
    let command = guest("ex_nap").display().to_string();
    for more in [&[][..], &["--per-request"]] {
        let asked = [
            &["serve-http", "--listen", "127.0.0.1:0"],
            more,
            &[&*command],
        ];
        let (code, said) = run(&asked.concat());
        check(
            code == Some(65) && said.contains("wasi:http/incoming-handler"),
            || said.clone(),
        )?;
    }
    let (code, said) = run(&["serve-http", "--listen", "192.0.2.1:1", &path]);
    check(
        code == Some(69) && said.contains("cannot listen on 192.0.2.1:1"),
        || said.clone(),
    )
}

/// An instance for each request: nothing is kept from one to the next, several run at once, and one
/// that traps takes no other with it.
fn per_request(engine: &str) -> Result<(), String> {
    let oracle = Server::wasmtime()?;
    let server = Server::dormouse(engine, &["--per-request"])?;
    for (name, text) in TALKS {
        let expected = shown(&oracle.talk(&[text]));
        compare(name, &shown(&server.talk(&[text])), &expected)?;
    }
    let text = "GET /count HTTP/1.1\r\nHost: a\r\n\r\n\
                GET /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let found = shown(&server.talk(&[text]));
    check(found.matches("request 1\n").count() == 2, || found.clone())?;
    // Two answers that take a while do not keep a third one waiting, which takes the last place.
    let mut server = Server::dormouse(engine, &["--per-request", "--max-instances", "3"])?;
    let mut slow = [server.connect(), server.connect()];
    for stream in &mut slow {
        stream
            .write_all(b"GET /slow/300 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("it is sent");
        let mut one = [0; 4];
        stream.read_exact(&mut one).expect("an answer");
    }
    for path in ["/trap", "/none", "/exit"] {
        let found = server.ask(path);
        check(found.starts_with("HTTP/1.1 500 "), || found)?;
    }
    for stream in &mut slow {
        stream.set_nonblocking(true).expect("a mode");
        let mut rest = Vec::new();
        let still = stream.read_to_end(&mut rest).is_err();
        check(still, || "it has ended before".into())?;
    }
    // At SIGTERM, what is under way is answered.
    kill_process(Pid::from_child(&server.child), Signal::TERM).expect("it runs");
    for stream in &mut slow {
        stream.set_nonblocking(false).expect("a mode");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an answer");
        check(rest.ends_with(b"0\r\n\r\n"), || shown(&rest))?;
    }
    let code = server.exit_code();
    check(code == Some(0), || format!("{code:?}"))
}
