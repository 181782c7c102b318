//! Requests by `wasi:http`: each argument after the first is a request to the peer at the first, as
//! `METHOD PATH BODY`. Prints what comes of it. `fields` instead of a peer tries the rules for
//! fields and requests.

use std::time::Duration;

use p2_guests::{many_bytes, sum};
use wasi::http::outgoing_handler::handle;
use wasi::http::types::{
    http_error_code, ErrorCode, Fields, FutureIncomingResponse, Headers, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions, Scheme,
};
use wasi::io::poll::poll;
use wasi::io::streams::{InputStream, StreamError};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let peer = arguments.next().expect("a peer");
    if peer == "fields" {
        fields();
        requests();
        return;
    }
    for request in arguments {
        let mut words = request.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default().to_string();
        let (method, path, body) = (word(), word(), word());
        // `*N` at the end of a path stands for each number below N.
        match path.split_once('*') {
            None => one(&peer, &method, &path, &body),
            Some((path, count)) => {
                for number in 0..count.parse().expect("a number") {
                    one(&peer, &method, &format!("{path}{number}"), &body);
                }
            }
        }
    }
}

fn one(peer: &str, method: &str, path: &str, body: &str) {
    println!("{method} {path} {body}");
    match exchange(peer, method, path, body) {
        Ok(response) => answer(response),
        Err(code) => println!("  {code:?}"),
    }
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.into()),
    }
}

/// Makes a request and waits for its response. The body is `length:TEXT`, `chunks:A,B`,
/// `early:TEXT` before the request is handed over, `short:TEXT`, `long:TEXT`, `trailers:TEXT`,
/// `many:COUNT` bytes, `dropped:TEXT`, or a timeout in milliseconds, as `timeout:50`.
fn exchange(
    peer: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<IncomingResponse, ErrorCode> {
    let (kind, text) = body.split_once(':').unwrap_or((body, ""));
    let headers = Headers::new();
    headers.append("accept", b"*/*").expect("a field");
    headers.append("X-Two", b"first").expect("a field");
    headers.append("x-two", b"second").expect("a field");
    let length = match kind {
        "length" => Some(text.len()),
        "short" => Some(text.len() + 1),
        "long" => Some(text.len() - 1),
        _ => None,
    };
    if let Some(length) = length {
        let length = length.to_string();
        headers.set("content-length", &[length.into_bytes()]).expect("a field");
    }
    if kind == "trailers" {
        headers.set("trailer", &[b"x-sum, x-none".to_vec()]).expect("a field");
    }
    let request = OutgoingRequest::new(headers);
    request.set_method(&method_of(method)).expect("a method");
    let scheme = match std::env::var_os("SECURE") {
        Some(_) => Scheme::Https,
        None => Scheme::Http,
    };
    request.set_scheme(Some(&scheme)).expect("a scheme");
    request.set_authority(Some(peer)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    let has_body = !matches!(kind, "" | "timeout");
    let outgoing = has_body.then(|| request.body().expect("a body"));
    let options = RequestOptions::new();
    if kind == "timeout" {
        let milliseconds: u64 = text.parse().expect("a number");
        let duration = Some(milliseconds * 1_000_000);
        options.set_first_byte_timeout(duration).expect("a timeout");
        options.set_between_bytes_timeout(duration).expect("a timeout");
    }
    if kind == "early" {
        let outgoing = outgoing.as_ref().expect("a body");
        let stream = outgoing.write().expect("a stream");
        stream.check_write().expect("room");
        stream.write(text.as_bytes()).expect("room");
    }
    let future = handle(request, Some(options))?;
    if let Some(outgoing) = outgoing {
        send(outgoing, kind, text);
    }
    response(&future)
}

fn send(outgoing: OutgoingBody, kind: &str, text: &str) {
    if kind == "early" {
        finish(outgoing, None);
        return;
    }
    let stream = outgoing.write().expect("a stream");
    let result = match kind {
        "many" => {
            let count: usize = text.parse().expect("a number");
            let bytes = many_bytes(count);
            let mut parts = bytes.chunks(4096);
            parts.try_for_each(|part| stream.blocking_write_and_flush(part))
        }
        _ => {
            let mut parts = text.split(',');
            parts.try_for_each(|part| stream.blocking_write_and_flush(part.as_bytes()))
        }
    };
    if let Err(error) = result {
        println!("  write: {}", stream_error(error));
    }
    drop(stream);
    match kind {
        "dropped" => drop(outgoing),
        "trailers" => {
            let trailers = Fields::new();
            trailers.append("x-sum", b"42").expect("a field");
            trailers.append("x-other", b"not announced").expect("a field");
            finish(outgoing, Some(trailers));
        }
        _ => finish(outgoing, None),
    }
}

fn finish(outgoing: OutgoingBody, trailers: Option<Fields>) {
    if let Err(code) = OutgoingBody::finish(outgoing, trailers) {
        println!("  finish: {code:?}");
    }
}

fn stream_error(error: StreamError) -> String {
    match error {
        StreamError::Closed => "closed".into(),
        StreamError::LastOperationFailed(error) => match http_error_code(&error) {
            Some(code) if tells(&code) => format!("{code:?}"),
            _ => "failed".into(),
        },
    }
}

/// Wasmtime tells no code of a body that is received.
fn tells(code: &ErrorCode) -> bool {
    std::env::var_os("CODES").is_some() || matches!(code, ErrorCode::HttpRequestBodySize(_))
}

fn response(future: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    let pollable = future.subscribe();
    pollable.block();
    let response = future.get().expect("it is there").expect("once");
    assert!(future.get().expect("it was there").is_err());
    response
}

fn answer(response: IncomingResponse) {
    println!("  {}", response.status());
    let headers = response.headers();
    for (name, value) in headers.entries() {
        println!("  {name}: {}", String::from_utf8_lossy(&value));
    }
    println!("  changed: {:?}", headers.append("a", b"b"));
    drop(headers);
    let body = response.consume().expect("a body");
    println!("  again: {:?}", response.consume().map(drop));
    let stream = body.stream().expect("a stream");
    println!("  again: {:?}", body.stream().map(drop));
    let (bytes, end) = read(&stream);
    match bytes.len() {
        0..200 => println!("  {:?} {end}", String::from_utf8_lossy(&bytes)),
        length => println!("  {length} bytes, {} {end}", sum(&bytes)),
    }
    drop(stream);
    match p2_guests::trailers(body) {
        Ok(Some(trailers)) => {
            for (name, value) in trailers.entries() {
                println!("  trailer {name}: {}", String::from_utf8_lossy(&value));
            }
        }
        Ok(None) => {}
        Err(code) => println!("  trailers: {code:?}"),
    }
}

/// Reads to the end, by blocking reads and by polls in turn.
fn read(stream: &InputStream) -> (Vec<u8>, String) {
    let mut bytes = Vec::new();
    let pollable = stream.subscribe();
    loop {
        if bytes.len() % 2 == 1 {
            let timer = wasi::clocks::monotonic_clock::subscribe_duration(3_600_000_000_000);
            poll(&[&pollable, &timer]);
        }
        match stream.blocking_read(1 << 16) {
            Ok(more) => bytes.extend(more),
            Err(error) => return (bytes, stream_error(error)),
        }
    }
}

fn fields() {
    let fields = Fields::new();
    for (name, value) in [
        ("Accept", &b"one"[..]),
        ("accept", b"two"),
        ("x y", b"z"),
        ("", b"z"),
        ("host", b"z"),
        ("Connection", b"close"),
        ("transfer-encoding", b"chunked"),
        ("a", b"line\nfeed"),
        ("a", b"\xff\x80 \t"),
        ("b", b""),
        ("content-length", b"007"),
        ("date", b"+1"),
    ] {
        println!("append {name:?} {:?}", fields.append(name, value));
    }
    println!("{:?}", fields.entries());
    println!("set {:?}", fields.set("accept", &[b"3".to_vec(), b"4".to_vec()]));
    println!("set {:?}", fields.set("c", &[b"5".to_vec()]));
    println!("set {:?}", fields.set("upgrade", &[]));
    println!("set {:?}", fields.set("b", &[]));
    println!("{:?} {:?}", fields.get("ACCEPT"), fields.get("no name"));
    println!("{} {} {}", fields.has("Accept"), fields.has("b"), fields.has("no name"));
    println!("delete {:?} {:?}", fields.delete("accept"), fields.delete("none"));
    println!("delete {:?} {:?}", fields.delete("host"), fields.delete("no name"));
    println!("{:?}", fields.entries());
    let copy = fields.clone();
    println!("{:?} {:?}", copy.append("d", b"6"), fields.has("d"));
    let list = |entries: &[(&str, &[u8])]| {
        let entries: Vec<(String, Vec<u8>)> = entries
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_vec()))
            .collect();
        Fields::from_list(&entries).map(|fields| fields.entries())
    };
    println!("{:?}", list(&[("b", b"1"), ("a", b"2"), ("B", b"3")]));
    println!("{:?}", list(&[("b", b"1"), ("keep-alive", b"2")]));
    println!("{:?}", list(&[("b", b"1"), ("\u{e9}", b"2")]));
}

fn requests() {
    let request = OutgoingRequest::new(Fields::new());
    println!("{:?} {:?}", request.method(), request.scheme());
    println!("{:?} {:?}", request.authority(), request.path_with_query());
    println!("changed: {:?}", request.headers().append("a", b"b"));
    for name in ["GET", "x-other", "no method", ""] {
        println!("method {name:?} {:?}", request.set_method(&Method::Other(name.into())));
        println!("  {:?}", request.method());
    }
    for path in ["", "/", "/a?b=c#d", "?q", "a", "*", "http://a/", "/with space", "/\u{e9}"] {
        println!("path {path:?} {:?}", request.set_path_with_query(Some(path)));
        println!("  {:?}", request.path_with_query());
    }
    for scheme in ["ftp", "http", "1", "a b", ""] {
        let scheme = Scheme::Other(scheme.into());
        println!("scheme {scheme:?} {:?}", request.set_scheme(Some(&scheme)));
        println!("  {:?}", request.scheme());
    }
    for name in ["a:80", "a b", "u@h", "[::1]:8", "", "a/b"] {
        println!("authority {name:?} {:?}", request.set_authority(Some(name)));
        println!("  {:?}", request.authority());
    }
    let body = request.body().expect("a body");
    println!("second body: {:?}", request.body().map(drop));
    let stream = body.write().expect("a stream");
    println!("second stream: {:?}", body.write().map(drop));
    println!("permit: {:?}", stream.check_write().map_err(drop));
    drop((stream, body));
    refused(|request| request.set_scheme(Some(&Scheme::Other("ftp".into()))));
    refused(|request| request.set_scheme(Some(&Scheme::Http)));
    refused(|request| request.set_authority(Some("localhost")));
    refused(|request| {
        request.set_scheme(Some(&Scheme::Http))?;
        request.set_authority(Some("localhost"))
    });
    let options = RequestOptions::new();
    println!("{:?} {:?}", options.connect_timeout(), options.first_byte_timeout());
    options.set_connect_timeout(Some(5)).expect("a timeout");
    println!("{:?} {:?}", options.connect_timeout(), options.between_bytes_timeout());
    options.set_connect_timeout(None).expect("a timeout");
    println!("{:?}", options.connect_timeout());
    let response = OutgoingResponse::new(Fields::new());
    println!("{} {:?}", response.status_code(), response.set_status_code(99));
    println!("{:?} {}", response.set_status_code(404), response.status_code());
    println!("{:?}", response.headers().set("a", &[b"b".to_vec()]));
    let body = response.body().expect("a body");
    println!("second body: {:?}", response.body().map(drop));
    println!("{:?}", OutgoingBody::finish(body, None));
    std::thread::sleep(Duration::from_millis(1));
}

/// A request that is refused before anything is sent.
fn refused(change: impl Fn(&OutgoingRequest) -> Result<(), ()>) {
    let request = OutgoingRequest::new(Fields::new());
    change(&request).expect("it can be set");
    println!("refused: {:?}", handle(request, None).map(drop));
}
