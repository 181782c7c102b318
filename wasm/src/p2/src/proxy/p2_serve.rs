//! Answers HTTP requests, each as its path says. What it counts is kept from one request to the
//! next, where one instance answers them all.

use std::cell::Cell;

use p2_guests::{many_bytes, sum};
use wasi::exports::http::incoming_handler::Guest;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    ErrorCode, Fields, Headers, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use wasi::io::streams::{InputStream, OutputStream, StreamError};

wasi::http::proxy::export!(Handler);

struct Handler;

thread_local! {
    /// How many requests have come.
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Handler {
    fn handle(request: IncomingRequest, param: ResponseOutparam) {
        let count = COUNT.get() + 1;
        COUNT.set(count);
        let path = request.path_with_query().unwrap_or_default();
        println!("{count} {:?} {path}", request.method());
        let (name, argument) = path[path.len().min(1)..].split_once('/').unwrap_or((
            path.trim_start_matches('/'),
            "",
        ));
        match name {
            "count" => text(param, 200, &format!("request {count}\n")),
            "show" => show(&request, param),
            "echo" => echo(&request, param),
            "length" => length(&request, param),
            "status" => status(param, argument),
            "fields" => fields(param),
            "slow" => slow(param, argument),
            "early" => early(param),
            "many" => many(param, argument),
            "trailers" => trailers(&request, param),
            "fetch" => fetch(param, argument),
            "empty" => ResponseOutparam::set(param, Ok(OutgoingResponse::new(Fields::new()))),
            "error" => ResponseOutparam::set(param, Err(ErrorCode::LoopDetected)),
            "none" => drop(param),
            "kept" => std::mem::forget(param),
            "trap" => core::arch::wasm32::unreachable(),
            "half-trap" => half(param, |_| core::arch::wasm32::unreachable()),
            "dropped" => half(param, drop),
            "left" => half(param, std::mem::forget),
            "exit" => std::process::exit(1),
            _ => text(param, 404, "not found\n"),
        }
    }
}

/// Begins a response with a body.
fn begin(param: ResponseOutparam, status: u16, fields: Fields) -> (OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("a body");
    ResponseOutparam::set(param, Ok(response));
    let stream = body.write().expect("a stream");
    (body, stream)
}

fn end(body: OutgoingBody, stream: OutputStream, trailers: Option<Fields>) {
    drop(stream);
    if let Err(code) = OutgoingBody::finish(body, trailers) {
        println!("finish: {code:?}");
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    let mut parts = bytes.chunks(4096);
    parts.try_for_each(|part| stream.blocking_write_and_flush(part))
}

fn text(param: ResponseOutparam, status: u16, text: &str) {
    let fields = Headers::new();
    let length = text.len().to_string();
    fields.set("content-type", &[b"text/plain".to_vec()]).expect("a field");
    fields.set("content-length", &[length.into_bytes()]).expect("a field");
    let (body, stream) = begin(param, status, fields);
    if let Err(error) = write(&stream, text.as_bytes()) {
        println!("write: {error:?}");
    }
    end(body, stream, None);
}

/// What the request says, with its body and trailers.
fn show(request: &IncomingRequest, param: ResponseOutparam) {
    let mut shown = format!(
        "{:?} {:?} {:?} {:?}\n",
        request.method(),
        request.scheme(),
        request.authority(),
        request.path_with_query()
    );
    for (name, value) in request.headers().entries() {
        shown += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    let body = request.consume().expect("a body");
    shown += &format!("again {:?}\n", request.consume().map(drop));
    let stream = body.stream().expect("a stream");
    shown += &format!("again {:?}\n", body.stream().map(drop));
    let (bytes, failed) = read(&stream);
    shown += &format!("{} bytes, {}, failed {failed}\n", bytes.len(), sum(&bytes));
    drop(stream);
    match p2_guests::trailers(body) {
        Ok(Some(trailers)) => {
            for (name, value) in trailers.entries() {
                shown += &format!("trailer {name}: {}\n", String::from_utf8_lossy(&value));
            }
        }
        Ok(None) => {}
        Err(_) => shown += "trailers failed\n",
    }
    text(param, 200, &shown);
}

/// Reads to the end. Gives whether that was a failure.
fn read(stream: &InputStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(more) => bytes.extend(more),
            Err(error) => return (bytes, !matches!(error, StreamError::Closed)),
        }
    }
}

/// Sends back what comes, as it comes.
fn echo(request: &IncomingRequest, param: ResponseOutparam) {
    let incoming = request.consume().expect("a body");
    let input = incoming.stream().expect("a stream");
    let (body, stream) = begin(param, 200, Fields::new());
    loop {
        match input.blocking_read(4096) {
            Ok(bytes) => match write(&stream, &bytes) {
                Ok(()) => {}
                Err(error) => {
                    println!("write: {error:?}");
                    break;
                }
            },
            Err(StreamError::Closed) => break,
            Err(_) => {
                println!("read: failed");
                // The response is not whole.
                return;
            }
        }
    }
    end(body, stream, None);
}

/// Says how long the body is, and reads none of it.
fn length(request: &IncomingRequest, param: ResponseOutparam) {
    let values = request.headers().get("content-length");
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    text(param, 200, &format!("{values:?}\n"));
}

/// A status, with a body where that may have one.
fn status(param: ResponseOutparam, argument: &str) {
    let status: u16 = argument.parse().unwrap_or(200);
    let (body, stream) = begin(param, status, Fields::new());
    if let Err(error) = write(&stream, b"the body\n") {
        println!("write: {error:?}");
    }
    end(body, stream, None);
}

fn fields(param: ResponseOutparam) {
    let fields = Fields::new();
    for (name, value) in [("X-Two", "one"), ("server", "guest"), ("x-two", "two")] {
        fields.append(name, value.as_bytes()).expect("a field");
    }
    let (body, stream) = begin(param, 200, fields);
    write(&stream, b"some").expect("room");
    end(body, stream, None);
}

/// Sleeps in the middle of a body, so many milliseconds.
fn slow(param: ResponseOutparam, argument: &str) {
    let milliseconds: u64 = argument.parse().unwrap_or(50);
    let (body, stream) = begin(param, 200, Fields::new());
    for part in ["one\n", "two\n", "three\n"] {
        if let Err(error) = write(&stream, part.as_bytes()) {
            println!("write: {error:?}");
        }
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    }
    end(body, stream, None);
}

/// Writes a body before it answers.
fn early(param: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a body");
    let stream = body.write().expect("a stream");
    stream.check_write().expect("room");
    stream.write(b"before").expect("room");
    drop(stream);
    OutgoingBody::finish(body, None).expect("an end");
    ResponseOutparam::set(param, Ok(response));
}

/// Many bytes.
fn many(param: ResponseOutparam, argument: &str) {
    let count: usize = argument.parse().unwrap_or(300_000);
    let bytes = many_bytes(count);
    let (body, stream) = begin(param, 200, Fields::new());
    if let Err(error) = write(&stream, &bytes) {
        println!("write: {error:?}");
    }
    end(body, stream, None);
}

fn trailers(request: &IncomingRequest, param: ResponseOutparam) {
    let fields = Fields::new();
    fields.set("trailer", &[b"x-sum, x-none".to_vec()]).expect("a field");
    let (body, stream) = begin(param, 200, fields);
    let incoming = request.consume().expect("a body");
    let input = incoming.stream().expect("a stream");
    let (bytes, _) = read(&input);
    write(&stream, b"behind it\n").expect("room");
    let trailers = Fields::new();
    let sum = sum(&bytes).to_string();
    trailers.set("x-sum", &[sum.into_bytes()]).expect("a field");
    trailers.set("x-other", &[b"not announced".to_vec()]).expect("a field");
    end(body, stream, Some(trailers));
}

/// Begins a body, and does something else.
fn half(param: ResponseOutparam, then: impl FnOnce(OutgoingBody)) {
    let (body, stream) = begin(param, 200, Fields::new());
    write(&stream, b"half").expect("room");
    drop(stream);
    then(body);
}

/// Gets what another server says, and gives it on.
fn fetch(param: ResponseOutparam, argument: &str) {
    let (authority, path) = argument.split_once('/').unwrap_or((argument, ""));
    let request = OutgoingRequest::new(Headers::new());
    request.set_method(&Method::Get).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("a path");
    let future = match outgoing_handler::handle(request, None) {
        Ok(future) => future,
        Err(code) => return text(param, 502, &format!("{code:?}\n")),
    };
    future.subscribe().block();
    let response = match future.get().expect("it is there").expect("once") {
        Ok(response) => response,
        Err(code) => return text(param, 502, &format!("{code:?}\n")),
    };
    let incoming = response.consume().expect("a body");
    let input = incoming.stream().expect("a stream");
    let (body, stream) = begin(param, response.status(), Fields::new());
    let (bytes, _) = read(&input);
    write(&stream, b"fetched: ").expect("room");
    write(&stream, &bytes).expect("room");
    end(body, stream, None);
}
