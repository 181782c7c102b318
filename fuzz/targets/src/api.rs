//! Requests to the daemon's API, straight into its router. No request may be an internal error, end the
//! daemon, or leave it unable to answer the next.
//!
//! The input is text: requests after each other, divided by a line `---`. A request is a line with method
//! and path, lines of headers, an empty line, and the body.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use dormouse::daemon::http::ServerOptions;
use dormouse::daemon::{Daemon, Options};
use dormouse::store::Sqlite;
use tower::ServiceExt;

use dormouse_test_support::checkout;

use super::Base;

/// A daemon is made anew after so many inputs, so that its store stays small.
const RUNS: usize = 3000;

/// Answers that go on without end are looked at for so long.
const PATIENCE: Duration = Duration::from_millis(30);

struct Served {
    runs: usize,
    /// By which tasks name the guest that is there: `$MODULE` in the input.
    module: String,
    daemon: Arc<Daemon>,
    router: Router,
    _folder: tempfile::TempDir,
}

fn tokio() -> &'static tokio::runtime::Runtime {
    static TOKIO: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    TOKIO.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let built = builder.worker_threads(1).enable_all().build();
        built.expect("tokio starts")
    })
}

impl Served {
    fn new() -> Self {
        // In memory, where there is such a place: every submission is flushed.
        let shm = std::path::Path::new("/dev/shm");
        let folder = match shm.is_dir() {
            true => tempfile::tempdir_in(shm),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder");
        let _guard = tokio().enter();
        let store = Arc::new(Sqlite::open(folder.path()).expect("a store"));
        let options = Options {
            cache: Some(folder.path().join("modules")),
            workers: Some(1),
            ..Options::default()
        };
        let daemon = Daemon::start(store, options).expect("a daemon");
        let wasm = std::fs::read(checkout("wasm/bin/c_hello_sleep.wasm"));
        let added = tokio().block_on(daemon.add_module(wasm.expect("a guest")));
        let module = added.expect("a module").to_string();
        let options = ServerOptions {
            token: "token".into(),
            hosts: Vec::new(),
            peers: None,
            certificate: None,
            audit: None,
        };
        let router = dormouse::fuzzing::router(daemon.clone(), options);
        Self {
            runs: 0,
            module,
            daemon,
            router,
            _folder: folder,
        }
    }
}

pub fn run(data: &[u8]) {
    static SERVED: Mutex<Option<Served>> = Mutex::new(None);
    let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    if served.as_ref().is_some_and(|served| served.runs >= RUNS)
        && let Some(old) = served.take()
    {
        tokio().block_on(old.daemon.close());
    }
    let served = served.get_or_insert_with(Served::new);
    served.runs += 1;
    for request in split(data, b"\n---\n").take(8) {
        let named = replaced(request, b"$MODULE", served.module.as_bytes());
        if let Some(request) = parse(&named) {
            tokio().block_on(ask(served, request));
        }
    }
}

async fn ask(served: &Served, request: Request<Body>) {
    let shown = format!("{} {}", request.method(), request.uri());
    let answering = served.router.clone().oneshot(request);
    let Ok(answer) = tokio::time::timeout(Duration::from_secs(20), answering).await else {
        panic!("{shown}: no answer");
    };
    let answer = answer.unwrap_or_else(|never| match never {});
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 24);
    let body = tokio::time::timeout(PATIENCE, body).await;
    let text = match &body {
        Ok(Ok(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    assert_ne!(status, 500, "{shown}: {text}");
    // Whatever failed says why, as JSON, also where the router itself refuses.
    if status >= 400 && !shown.starts_with("HEAD ") {
        let told = serde_json::from_str::<serde_json::Value>(&text);
        let told = told
            .ok()
            .and_then(|told| told["error"].as_str().map(str::len));
        assert!(
            told.is_some_and(|length| length > 0),
            "{shown}: {status} {text}"
        );
    }
}

fn parse(request: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match request.windows(2).position(|pair| pair == b"\n\n") {
        Some(place) => (&request[..place], &request[place + 2..]),
        None => (request, &[][..]),
    };
    // Tasks of the fuzzer's may listen on this machine only, and not by thousands.
    let text = String::from_utf8_lossy(request);
    if text.contains("listen") && !text.contains("\"127.0.0.1:0\"") {
        return None;
    }
    if let Ok(tasks) = serde_json::from_slice::<Vec<serde_json::Value>>(body)
        && tasks.iter().any(|task| task["count"].as_u64() > Some(50))
    {
        return None;
    }
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next()?).into_owned();
    let (method, path) = first.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    let mut own = [true, true];
    for line in lines {
        let line = String::from_utf8_lossy(line).into_owned();
        let (name, value) = line.split_once(':')?;
        own[0] &= !name.eq_ignore_ascii_case("host");
        own[1] &= !name.eq_ignore_ascii_case("authorization");
        request = request.header(name.trim(), value.trim());
    }
    if own[0] {
        request = request.header("host", "127.0.0.1");
    }
    if own[1] {
        request = request.header("authorization", "Bearer token");
    }
    request.body(Body::from(body.to_vec())).ok()
}

fn replaced(text: &[u8], what: &'static [u8], by: &[u8]) -> Vec<u8> {
    split(text, what).collect::<Vec<_>>().join(by)
}

fn split<'a>(data: &'a [u8], by: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let whole = rest?;
        match whole.windows(by.len()).position(|window| window == by) {
            Some(place) => {
                rest = Some(&whole[place + by.len()..]);
                Some(&whole[..place])
            }
            None => rest.take(),
        }
    })
}

/// Words that mean something to the API.
const WORDS: [&str; 24] = [
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "/v1/tasks",
    "/v1/tasks/1",
    "/v1/tasks/1/pause",
    "/v1/batch",
    "?limit=",
    "?state=",
    "ready",
    "paused",
    "&before=",
    "18446744073709551615",
    "-1",
    "null",
    "%00",
    "%ff",
    "\"every\":\"* * * * * *\"",
    "\"at\":\"2030-01-31T12:00:00Z\"",
    "\"engine\":\"wasmedge\"",
    "\"limits\":{\"memory\":\"1\"}",
    "\"count\":2",
    "content-type: application/json",
];

pub fn mutate(
    mut data: Vec<u8>,
    most: usize,
    random: &mut fastrand::Rng,
    base: Base<'_>,
) -> Vec<u8> {
    match random.u8(..3) {
        0 => {
            let word = WORDS[random.usize(..WORDS.len())];
            let at = random.usize(..=data.len());
            data.splice(at..at, word.bytes());
        }
        // The snapshot that is imported: a request at the end.
        1 if data.windows(17).any(|part| part == b"/v1/snapshots\n\ndo") => {
            let start = data
                .windows(4)
                .position(|part| part == b"\n\ndo")
                .unwrap_or(0)
                + 2;
            let snapshot = super::thaw::mutate(data.split_off(start), most, random, base);
            data.extend(snapshot);
        }
        _ => base(&mut data, most),
    }
    data.truncate(most);
    data
}

pub fn seeds() -> Vec<Vec<u8>> {
    let wasm = std::fs::read(checkout("wasm/bin/c_hello_sleep.wasm")).unwrap_or_default();
    let digest = "$MODULE";
    let json = "content-type: application/json\n\n";
    let task = format!(
        "{{\"module\":\"{digest}\",\"args\":[\"a\"],\"env\":{{\"A\":\"b\"}},\"name\":\"n\",\
         \"dirs\":[{{\"host\":\"/tmp\",\"guest\":\"/tmp\"}}],\"limits\":{{\"memory\":\"1M\"}}}}"
    );
    let mut seeds: Vec<Vec<u8>> = [
        "GET /v1/tasks?limit=3&state=ready,paused&before=9".to_string(),
        "GET /v1/stats\n---\nGET /metrics\n---\nGET /openapi.json\n---\nGET /".into(),
        "GET /v1/timeline?from=2030-01-31T12:00:00Z&step=0.5&count=3".into(),
        "GET /v1/events\nhost: localhost\norigin: http://localhost".into(),
        format!("POST /v1/tasks\n{json}{task}"),
        format!(
            "POST /v1/tasks\n{json}{task}\n---\nPOST /v1/tasks/n/pause\n---\nPOST /v1/tasks/n/resume\n---\n\
             GET /v1/tasks/n\n---\nGET /v1/tasks/n/logs?format=raw\n---\nGET /v1/tasks/n/snapshot\n---\n\
             POST /v1/tasks/n/kill\n---\nDELETE /v1/tasks/n"
        ),
        format!(
            "POST /v1/batch\n{json}[{{\"module\":\"{digest}\",\"count\":3}},{{\"module\":\"00\"}},\
             {{\"module\":\"{digest}\",\"every\":\"*/5 * * * *\"}},\
             {{\"module\":\"{digest}\",\"at\":\"2030-01-31T12:00:00Z\",\"engine\":\"wasmtime\"}},\
             {{\"module\":\"{digest}\",\"listen\":[\"127.0.0.1:0\"]}}]"
        ),
        "GET /v1/tasks/1/logs?from=1&limit=5&follow=true".into(),
    ]
    .map(String::into_bytes)
    .into();
    seeds.push([b"PUT /v1/modules\n\n", wasm.as_slice()].concat());
    if let Some(snapshot) = super::golden().first() {
        seeds.push([b"POST /v1/snapshots\n\n", snapshot.as_slice()].concat());
        let task = "POST /v1/snapshots?task=%7B%22name%22%3A%22x%22%7D\n\n";
        seeds.push([task.as_bytes(), snapshot].concat());
    }
    seeds
}
