//! Heads, framing and fields by themselves. What is right is what RFC 9112 and hyper say.

use super::chunked::Chunks;
use super::failure::Failure;
use super::fields::{Fields, FieldsError};
use super::head::{Asks, Request, take_response};
use super::incoming::{Decoder, Incoming};
use super::outgoing::{Framing, MessageKind, Outgoing, WriteError};

fn fields(entries: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in entries {
        fields
            .append(name, value.as_bytes().to_vec())
            .expect("a field");
    }
    fields
}

/// The body and the trailers in bytes that come in these parts; with the failure, if there is one.
fn decoded(
    decoder: &Decoder,
    parts: &[&[u8]],
) -> (Vec<u8>, Option<Result<Option<Fields>, Failure>>) {
    let mut incoming = Incoming {
        decoder: Some(decoder.clone()),
        ..Incoming::default()
    };
    let mut body = Vec::new();
    for part in parts {
        incoming.received.extend(*part);
        incoming.decode();
        body.extend(incoming.take(u64::MAX));
        // A snapshot may fall anywhere.
        let bytes = rmp_serde::to_vec_named(&incoming).expect("plain data");
        incoming = rmp_serde::from_slice(&bytes).expect("what was written");
    }
    (body, incoming.take_end())
}

const CHUNKED: &[u8] =
    b"5\r\nhello\r\n00A ; x=\"y\"\r\n, world 12\r\n0\r\nX-Sum: 7\r\nx-b:\r\n\r\nrest";

#[test]
fn chunks_may_be_cut_anywhere() {
    let decoder = Decoder::Chunked(Chunks::new());
    let whole = decoded(&decoder, &[CHUNKED]);
    assert_eq!(whole.0, b"hello, world 12");
    let trailers = whole.1.clone().expect("an end").expect("no failure");
    let entries = trailers.expect("trailers").entries();
    assert_eq!(entries[0], ("x-sum".into(), b"7".to_vec()));
    assert_eq!(entries[1], ("x-b".into(), Vec::new()));
    for cut in 0..CHUNKED.len() {
        let (before, after) = CHUNKED.split_at(cut);
        assert_eq!(decoded(&decoder, &[before, after]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = CHUNKED.chunks(1).collect();
    assert_eq!(decoded(&decoder, &bytes), whole);
}

#[test]
fn chunks_that_are_none_are_refused() {
    let long = [b"1;".as_slice(), &[b'x'; 20_000], b"\r\na\r\n0\r\n\r\n"].concat();
    let trailers = [b"0\r\na: ".as_slice(), &[b'x'; 20_000], b"\r\n\r\n"].concat();
    let many = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(101), b"\r\n"].concat();
    for bad in [
        b"\r\n".as_slice(),
        b"g\r\n",
        b"5 5\r\n",
        b"-1\r\n",
        b"5;x\nhello\r\n",
        b"5\rhello",
        b"5\r\nhelloX\n",
        b"5\r\nhello\rX",
        b"ffffffffffffffff1\r\n",
        b"0\r\n\rX",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\na: b\rX",
        &long,
        &trailers,
        &many,
    ] {
        let (_, end) = decoded(&Decoder::Chunked(Chunks::new()), &[bad]);
        let text = String::from_utf8_lossy(&bad[..bad.len().min(20)]).into_owned();
        assert_eq!(end, Some(Err(Failure::Protocol)), "{text:?}");
    }
    // Bytes before what is wrong are the body's.
    let (body, end) = decoded(&Decoder::Chunked(Chunks::new()), &[b"2\r\nabX"]);
    assert_eq!((body, end), (b"ab".to_vec(), Some(Err(Failure::Protocol))));
}

#[test]
fn a_body_has_its_length_or_ends_with_the_connection() {
    let (body, end) = decoded(&Decoder::Length(3), &[b"a", b"bcd"]);
    assert_eq!((body, end), (b"abc".to_vec(), Some(Ok(None))));
    let (body, end) = decoded(&Decoder::Length(0), &[b"d"]);
    assert_eq!((body, end), (Vec::new(), Some(Ok(None))));
    let (body, end) = decoded(&Decoder::UntilClose, &[b"a", b"bcd"]);
    assert_eq!((body, end), (b"abcd".to_vec(), None));
    for (decoder, end) in [
        (Decoder::UntilClose, Ok(None)),
        (Decoder::Length(1), Err(Failure::Protocol)),
        (Decoder::Chunked(Chunks::new()), Err(Failure::Protocol)),
    ] {
        let mut incoming = Incoming {
            decoder: Some(decoder),
            ..Incoming::default()
        };
        incoming.close();
        assert_eq!(incoming.take_end(), Some(end));
    }
}

/// Status and decoder of a response, and what is left behind its head.
fn response(text: &[u8], asks: Asks) -> Result<Option<(u16, Decoder, Vec<u8>)>, Failure> {
    let mut received = text.to_vec();
    let taken = take_response(&mut received, asks)?;
    Ok(taken.map(|(head, decoder)| (head.status, decoder, received)))
}

#[test]
fn the_head_says_how_the_body_ends() {
    let chunked = || Decoder::Chunked(Chunks::new());
    let close = || Decoder::UntilClose;
    for (status, lines, asks, decoder) in [
        (200, "content-length: 5\r\n", Asks::Any, Decoder::Length(5)),
        (
            200,
            "Content-Length: 5, 5\r\n",
            Asks::Any,
            Decoder::Length(5),
        ),
        (200, "", Asks::Any, close()),
        (200, "transfer-encoding: gzip\r\n", Asks::Any, close()),
        (
            200,
            "transfer-encoding: gzip, CHUNKED\r\n",
            Asks::Any,
            chunked(),
        ),
        (
            200,
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            Asks::Any,
            chunked(),
        ),
        (204, "content-length: 5\r\n", Asks::Any, Decoder::Length(0)),
        (
            304,
            "transfer-encoding: chunked\r\n",
            Asks::Any,
            Decoder::Length(0),
        ),
        (404, "content-length: 5\r\n", Asks::Head, Decoder::Length(0)),
        (200, "", Asks::Connect, Decoder::Length(0)),
        (
            400,
            "content-length: 5\r\n",
            Asks::Connect,
            Decoder::Length(5),
        ),
    ] {
        let text = format!("HTTP/1.1 {status} Some Reason\r\n{lines}\r\nbody");
        let expected = Ok(Some((status, decoder, b"body".to_vec())));
        assert_eq!(response(text.as_bytes(), asks), expected, "{lines}");
        for cut in 0..text.len() - b"body".len() {
            assert_eq!(
                response(&text.as_bytes()[..cut], asks),
                Ok(None),
                "cut at {cut}"
            );
        }
    }
    let informed =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.0 200 OK\r\n\r\n";
    let expected = Ok(Some((200, close(), Vec::new())));
    assert_eq!(response(informed, Asks::Any), expected);
}

#[test]
fn heads_that_are_none_are_refused() {
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(500_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    for bad in [
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 99 No\r\n\r\n",
        "HTTP/1.1 20 No\r\n\r\n",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        &long,
        &many,
    ] {
        assert_eq!(response(bad.as_bytes(), Asks::Any), Err(Failure::Protocol));
    }
}

#[test]
fn fields_about_the_connection_are_not_the_guests() {
    let mut received =
        b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nA: c\r\n\r\n"
            .to_vec();
    let head = take_response(&mut received, Asks::Any);
    let (head, _) = head.expect("no failure").expect("a head");
    let entries = head.fields.entries();
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "a"]);
    assert_eq!(
        head.fields.clone().set("a", Vec::new()),
        Err(FieldsError::Immutable)
    );
}

fn request(method: http::Method, entries: &[(&str, &str)], has_body: bool) -> (String, Framing) {
    let fields = fields(entries);
    let head = Request {
        traceparent: None,
        method,
        scheme: http::uri::Scheme::HTTP,
        authority: "example.com:81",
        path_with_query: Some("?q=1#part"),
        fields: &fields,
        has_body,
    };
    let head = head.head().expect("a head");
    assert_eq!(
        (head.origin.host.as_str(), head.origin.port),
        ("example.com", 81)
    );
    let text = String::from_utf8(head.bytes).expect("a text");
    (text, head.framing)
}

/// A guest that traces names its own spans, and the host adds none.
#[test]
fn a_request_says_which_span_it_belongs_to() {
    let ours = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let head = |entries: &[(&str, &str)]| {
        let fields = fields(entries);
        let head = Request {
            method: http::Method::GET,
            scheme: http::uri::Scheme::HTTP,
            authority: "example.com",
            path_with_query: Some("/"),
            fields: &fields,
            has_body: false,
            traceparent: Some(ours.parse().expect("a traceparent")),
        };
        let head = head.head().expect("a head");
        String::from_utf8(head.bytes).expect("a text")
    };
    let start = "GET / HTTP/1.1\r\nhost: example.com\r\n";
    assert_eq!(head(&[]), format!("{start}traceparent: {ours}\r\n\r\n"));
    let theirs = "of the guest";
    let expected = format!("{start}traceparent: {theirs}\r\n\r\n");
    assert_eq!(head(&[("TraceParent", theirs)]), expected);
}

#[test]
fn a_request_is_framed_as_hyper_does() {
    let (head, framing) = request(http::Method::GET, &[("B", "1"), ("a", "2")], false);
    assert_eq!(
        head,
        "GET /?q=1 HTTP/1.1\r\nhost: example.com:81\r\nb: 1\r\na: 2\r\n\r\n"
    );
    assert_eq!(framing, Framing::Empty);
    // These have no body that is not announced.
    let (head, framing) = request(http::Method::GET, &[], true);
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(framing, Framing::Empty);
    let (head, framing) = request(http::Method::POST, &[("content-length", "7")], true);
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(framing, Framing::Length(7));
    let (head, framing) = request(http::Method::POST, &[("trailer", "X-A, b")], true);
    assert!(
        head.ends_with("trailer: X-A, b\r\ntransfer-encoding: chunked\r\n\r\n"),
        "{head}"
    );
    assert_eq!(framing, Framing::Chunked(vec!["x-a".into(), "b".into()]));
}

fn sent(message: &Outgoing) -> String {
    String::from_utf8(message.unsent().to_vec()).expect("a text")
}

#[test]
fn a_body_goes_in_chunks_and_with_the_trailers_that_were_announced() {
    for early in [false, true] {
        let mut message = Outgoing::new(MessageKind::Request, None);
        let framing = Framing::Chunked(vec!["x-a".into(), "content-type".into()]);
        if !early {
            message.begin(b"HEAD ".to_vec(), framing.clone(), false);
        }
        assert_eq!(message.write(b"hello, world"), Ok(()));
        assert_eq!(message.write(b""), Ok(()));
        assert_eq!(message.write(b"!"), Ok(()));
        let trailers = fields(&[("x-a", "1"), ("x-b", "2"), ("content-type", "3")]);
        assert_eq!(message.finish(Some(trailers)), Ok(()));
        if early {
            message.begin(b"HEAD ".to_vec(), framing, false);
        }
        let expected = "HEAD C\r\nhello, world\r\n1\r\n!\r\n0\r\nx-a: 1\r\n\r\n";
        assert_eq!(sent(&message), expected);
        assert!(!message.is_sent());
        message.advance(expected.len());
        assert!(message.is_sent());
    }
}

#[test]
fn a_body_is_neither_longer_nor_shorter_than_its_head_says() {
    let mut message = Outgoing::new(MessageKind::Request, Some(3));
    message.begin(Vec::new(), Framing::Length(3), false);
    assert_eq!(message.write(b"ab"), Ok(()));
    let failure = Failure::RequestBodySize(4);
    assert_eq!(message.write(b"cd"), Err(WriteError::Failed(failure)));
    assert_eq!(sent(&message), "abc");
    assert_eq!(message.finish(None), Err(failure));
    assert!(!message.is_aborted(), "all that was announced is there");
    let mut message = Outgoing::new(MessageKind::Response, Some(3));
    message.begin(Vec::new(), Framing::Length(3), false);
    assert_eq!(message.write(b"ab"), Ok(()));
    assert_eq!(message.finish(None), Err(Failure::ResponseBodySize(2)));
    assert!(message.is_aborted());
}

#[test]
fn a_message_is_kept_to_be_sent_again_as_long_as_it_is_small() {
    let framing = || Framing::Chunked(Vec::new());
    let mut message = Outgoing::new(MessageKind::Request, None);
    message.begin(b"HEAD ".to_vec(), framing(), true);
    message.write(b"abc").expect("room");
    message.advance(7);
    assert_eq!(sent(&message), "\nabc\r\n");
    assert!(message.can_be_sent_again());
    message.send_again();
    assert_eq!(sent(&message), "HEAD 3\r\nabc\r\n");
    message.advance(1);
    message.keep_nothing();
    assert!(!message.can_be_sent_again());
    assert_eq!(sent(&message), "EAD 3\r\nabc\r\n");

    let mut large = Outgoing::new(MessageKind::Request, None);
    large.begin(b"HEAD ".to_vec(), framing(), true);
    large.write(&[0; 70_000]).expect("room");
    assert!(large.can_be_sent_again(), "nothing was sent");
    large.advance(1);
    assert!(!large.can_be_sent_again());

    // Nothing of it was sent.
    let mut unsafe_method = Outgoing::new(MessageKind::Request, None);
    unsafe_method.begin(b"HEAD ".to_vec(), framing(), false);
    assert!(unsafe_method.can_be_sent_again());
    unsafe_method.advance(1);
    assert!(!unsafe_method.can_be_sent_again());
}

#[test]
fn a_message_takes_only_so_much() {
    let mut message = Outgoing::new(MessageKind::Request, None);
    while message.room() > Some(0) {
        message.write(&[7; 100_000]).expect("room");
    }
    assert!((1 << 20..1 << 21).contains(&message.held()));
    message.begin(Vec::new(), Framing::Chunked(Vec::new()), true);
    assert_eq!(message.room(), Some(0));
    while !message.unsent().is_empty() {
        message.advance(1000);
    }
    assert!(message.room() > Some(0));
    message.close();
    assert_eq!(message.room(), None);
    assert_eq!(message.write(b"x"), Err(WriteError::Closed));
}

#[test]
fn fields_come_back_from_a_snapshot() {
    let mut before = fields(&[("b", "1"), ("A", "2"), ("b", "3")]);
    before.append("bytes", vec![0xFF, b'\t']).expect("a field");
    for fields in [before.clone(), before.with_mutable(false)] {
        let bytes = rmp_serde::to_vec_named(&fields).expect("plain data");
        let after: Fields = rmp_serde::from_slice(&bytes).expect("what was written");
        assert_eq!(after, fields);
        assert_eq!(after.entries(), fields.entries());
    }
}

/// Two lengths, or one with a sign, would let two readers see two ends.
#[test]
fn there_is_one_content_length() {
    let mut fields = fields(&[("content-length", "007")]);
    let entry = ("content-length".to_owned(), b"7".to_vec());
    assert_eq!(fields.entries(), [entry]);
    for value in ["7", "+1", "-1", "", "1, 1", "18446744073709551616"] {
        let value = value.as_bytes().to_vec();
        let appended = fields.append("Content-Length", value);
        assert_eq!(appended, Err(FieldsError::InvalidSyntax));
    }
    let two = vec![b"7".to_vec(), b"7".to_vec()];
    assert_eq!(
        fields.set("content-length", two),
        Err(FieldsError::InvalidSyntax)
    );
    assert_eq!(fields.content_length(), Ok(Some(7)));
}

#[test]
fn fields_have_a_limit() {
    let mut fields = Fields::new();
    let mut count = 0;
    let error = loop {
        match fields.append("name", vec![b'x'; 1000]) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, FieldsError::TooLarge);
    assert!((120..131).contains(&count), "{count}");
    assert_eq!(fields.delete("name"), Ok(()));
    assert_eq!(fields.set("name", vec![vec![b'x'; 1000]; 100]), Ok(()));
    assert_eq!(fields.set("name", Vec::new()), Ok(()));
    assert_eq!(fields, Fields::new());
}
