//! Requests by `wasi:http`: what the guest prints and what its peer sees are what they are with
//! Wasmtime, also with an answer that is cut at each byte, and over suspends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

use dormouse_test_support::{
    check, component, dormouse, ended, engines, finish, guest, resume, stderr, wasmtime,
};

/// Requests whose responses are there soon, as the guest takes them.
pub const REQUESTS: [&str; 24] = [
    "GET /plain",
    "GET /chunked",
    "GET /close",
    "HEAD /plain",
    "OPTIONS /status/204",
    "GET /status/304",
    "GET /status/404",
    "GET /informed",
    "GET /big",
    "GET /slow",
    "GET /bad",
    "GET /two-lengths",
    "POST /echo",
    "POST /echo chunks:hello,world",
    "POST /echo early:before",
    "PUT /echo length:five5",
    "PATCH /echo trailers:with trailers",
    "POST /echo many:150000",
    "POST /short short:missing",
    "POST /short dropped:part",
    "PUT /echo long:toolong",
    "X-OWN /plain",
    "GET /silent timeout:50",
    "GET /stops timeout:2000",
];

const BODY: &str = "a body of some length";

/// A response in chunks, with trailers.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Back: 1\r\n\r\n\
                       5\r\nhello\r\n8;ext=\"1\"\r\n, world!\r\n0\r\nX-Sum: 13\r\n\r\n";

/// A response that says how long it is.
const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\nX-Back: 1\r\nx-back: 2\r\n\
                     Connection: close\r\n\r\na body of some length";

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |name: String, run: Box<dyn Fn() -> Result<(), String> + Send>| {
        let name = format!("http::{name}");
        trials.push(Trial::test(name, move || run().map_err(Failed::from)));
    };
    for engine in engines() {
        for way in ["run", "rehearse"] {
            add(
                format!("{engine}::requests::{way}"),
                Box::new(move || same(engine, way, &REQUESTS)),
            );
        }
        add(
            format!("{engine}::cuts"),
            Box::new(move || same(engine, "run", &cuts())),
        );
        add(
            format!("{engine}::made_again"),
            Box::new(move || made_again(engine, pair)),
        );
        add(
            format!("{engine}::lost"),
            Box::new(move || lost(engine, pair)),
        );
    }
    trials
}

/// Requests whose responses are cut at each byte.
fn cuts() -> Vec<&'static str> {
    static CUTS: OnceLock<[String; 2]> = OnceLock::new();
    let cuts = CUTS.get_or_init(|| {
        let cut = |path, text: &str| format!("GET /{path}/*{}", text.len() + 1);
        [cut("cut-chunked", CHUNKED), cut("cut-plain", PLAIN)]
    });
    cuts.iter().map(String::as_str).collect()
}

/// A peer with a script, and what it has been sent.
pub struct Peer {
    pub authority: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    fn new() -> Self {
        Self::with(Ok)
    }

    /// A peer that makes something of each connection before it talks.
    pub fn with<S: Read + Write>(
        prepare: impl Fn(TcpStream) -> std::io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        let prepare = Arc::new(prepare);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let authority = listener.local_addr().expect("an address").to_string();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let peer = Self {
            authority: authority.clone(),
            seen: seen.clone(),
        };
        // It ends with the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, authority) = (seen.clone(), authority.clone());
                let prepare = prepare.clone();
                thread::spawn(move || {
                    stream.set_nodelay(true)?;
                    // A guest that has what it wants ends the connection.
                    serve(prepare(stream)?, &seen, &authority)
                });
            }
        });
        peer
    }

    pub fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

/// Reads one request, and answers it as its path says.
fn serve(
    mut stream: impl Read + Write,
    seen: &Mutex<Vec<String>>,
    authority: &str,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    // How much of another one is seen depends on the time.
    if !read_request(&mut stream, &mut request)? {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&request).replace(authority, "PEER");
    let count = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(text.clone());
        let line = text.lines().next().unwrap_or_default();
        seen.iter().filter(|seen| seen.starts_with(line)).count()
    };
    let path = text.split(' ').nth(1).unwrap_or_default();
    let hold = || thread::sleep(Duration::from_secs(600));
    let mut send = |text: &str| stream.write_all(text.as_bytes());
    match path {
        "/chunked" => in_pieces(&mut stream, CHUNKED)?,
        "/close" => send(&format!("HTTP/1.0 200 OK\r\n\r\n{BODY}"))?,
        "/informed" => send(&format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{PLAIN}"
        ))?,
        "/big" => {
            let body: String = (0..300_000u32)
                .map(|place| char::from(b'a' + (place % 23) as u8))
                .collect();
            send(&format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{body}"
            ))?;
        }
        "/slow" => {
            thread::sleep(Duration::from_millis(100));
            in_pieces(&mut stream, CHUNKED)?;
        }
        "/bad" => send("no HTTP at all\r\n\r\n")?,
        "/two-lengths" => {
            send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello")?
        }
        "/echo" => {
            let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let length = body.len();
            send(&format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
            ))?;
        }
        "/silent" => hold(),
        "/stops" => {
            send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome")?;
            hold();
        }
        "/once" if count == 1 => hold(),
        "/half" => {
            send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")?;
            hold();
        }
        _ => match path.rsplit_once('/') {
            Some(("/status", code)) => send(&format!(
                "HTTP/1.1 {code} Reason\r\ncontent-length: 0\r\n\r\n"
            ))?,
            Some(("/cut-chunked", at)) => send(cut(CHUNKED, at))?,
            Some(("/cut-plain", at)) => send(cut(PLAIN, at))?,
            _ => send(PLAIN)?,
        },
    }
    Ok(())
}

fn cut<'a>(text: &'a str, at: &str) -> &'a str {
    &text[..at.parse().expect("a number")]
}

/// Sends a text byte by byte, as far as that shows.
fn in_pieces(stream: &mut impl Write, text: &str) -> std::io::Result<()> {
    for piece in text.as_bytes().chunks(7) {
        stream.write_all(piece)?;
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Reads a request with its body. Gives whether it was whole.
fn read_request(stream: &mut impl Read, request: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = request.windows(4).position(|part| part == b"\r\n\r\n") {
            let (head, body) = request.split_at(at + 4);
            let head = String::from_utf8_lossy(head).to_lowercase();
            let length = head.lines().find_map(|line| {
                let value = line.strip_prefix("content-length: ")?;
                value.parse::<usize>().ok()
            });
            let is_whole = match length {
                _ if head.contains("transfer-encoding: chunked") => {
                    body == b"0\r\n\r\n" || has_last_chunk(body)
                }
                Some(length) => body.len() >= length,
                None => true,
            };
            if is_whole {
                return Ok(true);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return Ok(false),
            Ok(count) => request.extend(&buffer[..count]),
        }
    }
}

/// Whether a body in chunks has its end, with trailers or without.
fn has_last_chunk(body: &[u8]) -> bool {
    let last = body.windows(5).rposition(|part| part == b"\r\n0\r\n");
    last.is_some() && body.ends_with(b"\r\n\r\n")
}

/// The guest as a component, in a scratch directory.
pub struct Program {
    /// Where the certificates are that dormouse trusts; then the requests go by HTTPS.
    pub trusted: Option<PathBuf>,
    pub folder: TempDir,
    path: PathBuf,
}

impl Program {
    pub fn new() -> Result<Self, String> {
        let module = std::fs::read(guest("p2_http")).map_err(|error| error.to_string())?;
        let folder = tempfile::tempdir().expect("a scratch directory");
        let path = folder.path().join("p2_http.wasm");
        std::fs::write(&path, component(&module)?).expect("a scratch file can be written");
        Ok(Self {
            trusted: None,
            folder,
            path,
        })
    }

    pub fn run(&self, peer: &Peer, options: &[&str], requests: &[&str]) -> Output {
        let mut command = dormouse();
        command.arg("run").args(options);
        command.args(["--allow-connect", &peer.authority]);
        if let Some(trusted) = &self.trusted {
            command
                .env("SSL_CERT_FILE", trusted)
                .args(["--env", "SECURE=1"]);
        }
        self.finish(command, peer, requests)
    }

    pub fn finish(&self, mut command: Command, peer: &Peer, requests: &[&str]) -> Output {
        command.arg(&self.path).arg(&peer.authority).args(requests);
        finish(&mut command, Stdio::null())
    }
}

/// What the oracle's guest prints, and what its peer sees.
pub fn expected(program: &Program, requests: &[&str]) -> Result<(String, Vec<String>), String> {
    let peer = Peer::new();
    let mut command = wasmtime();
    command.args(["run", "-S", "http"]);
    let output = program.finish(command, &peer, requests);
    check(output.status.success(), || stderr(&output))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((stdout, peer.seen()))
}

fn same(engine: &str, way: &str, requests: &[&str]) -> Result<(), String> {
    let program = Program::new()?;
    let (stdout, seen) = expected(&program, requests)?;
    let peer = Peer::new();
    let mut options = vec!["--engine", engine];
    if way == "rehearse" {
        options.push("--rehearse");
    }
    let output = program.run(&peer, &options, requests);
    check(output.status.success(), || stderr(&output))?;
    compare("output", &String::from_utf8_lossy(&output.stdout), &stdout)?;
    compare(
        "requests",
        &peer.seen().join("\n---\n"),
        &seen.join("\n---\n"),
    )
}

/// The first line in which two texts differ.
pub fn compare(what: &str, found: &str, expected: &str) -> Result<(), String> {
    let mut lines = (1..).zip(found.lines().zip(expected.lines()));
    let differs = lines.find(|(_, (found, expected))| found != expected);
    match differs {
        Some((number, (found, expected))) => Err(format!(
            "{what}, line {number}: {found:?} instead of {expected:?}"
        )),
        None => check(found == expected, || {
            format!("{what}: {found}\ninstead of\n{expected}")
        }),
    }
}

/// Runs until the guest waits for its peer, and goes on in another process.
pub fn suspended(
    engine: &str,
    program: &Program,
    peer: &Peer,
    requests: &[&str],
) -> Result<String, String> {
    let snapshot = program.folder.path().join("snapshot");
    let name = snapshot.display().to_string();
    let options = [
        "--env",
        "CODES=1",
        "--engine",
        engine,
        "--suspend",
        "after=300ms",
        "--snapshot",
        &name,
    ];
    let first = program.run(peer, &options, requests);
    ended(&first, 75)?;
    let options = ["--engine", engine, "--allow-connect", &peer.authority];
    let mut second = resume(&snapshot, &options);
    if let Some(trusted) = &program.trusted {
        second.env("SSL_CERT_FILE", trusted);
    }
    let second = finish(&mut second, Stdio::null());
    ended(&second, 0)?;
    let stdout = [first.stdout, second.stdout].concat();
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// A guest, and a peer that it may ask.
type Pair = Result<(Program, Peer), String>;

fn pair() -> Pair {
    Ok((Program::new()?, Peer::new()))
}

/// Nothing of a response was read: the request is made again, and nobody can tell.
pub fn made_again(engine: &str, pair: impl Fn() -> Pair) -> Result<(), String> {
    let (program, peer) = pair()?;
    let uninterrupted = ["GET /plain", "PUT /again chunks:one,two", "GET /plain"];
    let (stdout, _) = expected(&program, &uninterrupted)?;
    let requests = ["GET /plain", "PUT /once chunks:one,two", "GET /plain"];
    let found = suspended(engine, &program, &peer, &requests)?;
    compare("output", &found.replace("/once", "/again"), &stdout)?;
    let seen = peer.seen();
    check(seen.len() == 4 && seen[1] == seen[2], || {
        seen.join("\n---\n")
    })
}

/// A request that may not be made again fails, and so does a response that has begun.
pub fn lost(engine: &str, pair: impl Fn() -> Pair) -> Result<(), String> {
    let (program, peer) = pair()?;
    let requests = ["POST /once chunks:one", "GET /plain"];
    let found = suspended(engine, &program, &peer, &requests)?;
    let terminated = "\n  ErrorCode::ConnectionTerminated\n";
    check(found.contains(terminated), || found.clone())?;
    check(found.ends_with(&format!("{BODY:?} closed\n")), || {
        found.clone()
    })?;
    let (program, peer) = pair()?;
    let found = suspended(engine, &program, &peer, &["GET /half", "GET /plain"])?;
    let incomplete = "\n  \"half\" ErrorCode::HttpResponseIncomplete\n";
    check(found.contains(incomplete), || found.clone())?;
    check(peer.seen().len() == 2, || peer.seen().join("\n---\n"))
}
