//! Which requests are allowed. Every request but those for the dashboard's own files carries the
//! daemon's token.
//!
//! The token travels in a header that no other web page can set, so that no request from another
//! origin can act. A page that has pointed a name of its own at this machine (DNS rebinding) is
//! recognised by the `Host` header: a daemon is asked by its address, or by `localhost`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admission::ConnectionSlot;
use crate::http::answers::problem;

/// The token, and further names by which the daemon may be asked.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) token: String,
    pub(crate) hosts: Vec<String>,
}

/// Refuses requests that are not allowed.
pub(crate) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if !is_ours(headers, &access.hosts) {
        return problem(
            StatusCode::FORBIDDEN,
            "ask the daemon by its address or as localhost; `serve --host NAME` allows a name",
        );
    }
    if !access.is_token(headers) {
        let text = "the token is missing or wrong; the daemon keeps it in its data directory, and \
                    prints where at its start";
        let mut response = problem(StatusCode::UNAUTHORIZED, text);
        let bearer = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        return response;
    }
    let slot = request.extensions().get::<Arc<ConnectionSlot>>();
    if slot.is_some_and(|slot| !slot.admit()) {
        let text = "there are too many connections; close those that are not needed, or raise the limit of open \
                    files (ulimit -n) before `dormouse serve`";
        let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, text);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        return response;
    }
    next.run(request).await.into_response()
}

impl Access {
    fn is_token(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let given = given.and_then(bearer);
        // Digests are compared, so that the time this takes reveals nothing about the token.
        let digest = |bytes: &[u8]| crate::model::Digest::of(bytes);
        given.is_some_and(|given| digest(given) == digest(self.token.as_bytes()))
    }
}

/// What follows the scheme `Bearer`, which may be written in any case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"Bearer ".len())?;
    let rest = scheme.eq_ignore_ascii_case(b"Bearer ").then_some(rest)?;
    Some(rest.trim_ascii_start())
}

/// Whether the request was meant for this daemon, and comes from no other page.
fn is_ours(headers: &HeaderMap, hosts: &[String]) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str());
    let Some(Ok(host)) = text(HOST) else {
        return false;
    };
    let name = host_name(host);
    let known = name == "localhost"
        || name.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|allowed| allowed == name);
    let same = match text(ORIGIN) {
        None => true,
        Some(Ok(origin)) => origin
            .split_once("://")
            .is_some_and(|(_, rest)| rest == host),
        Some(Err(_)) => false,
    };
    known && same
}

/// A host without its port and brackets.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(axum::http::HeaderName, &str)| {
            (name.clone(), value.parse().expect("a header"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn other_origins_and_names_are_refused() {
        let ours = |pairs: &[_]| is_ours(&headers(pairs), &["box.example.com".into()]);
        assert!(ours(&[(HOST, "127.0.0.1:7433")]));
        assert!(ours(&[(HOST, "[::1]:7433")]));
        assert!(ours(&[
            (HOST, "localhost:7433"),
            (ORIGIN, "http://localhost:7433")
        ]));
        assert!(ours(&[(HOST, "box.example.com")]));
        assert!(!ours(&[(HOST, "example.invalid:7433")]));
        assert!(!ours(&[
            (HOST, "127.0.0.1:7433"),
            (ORIGIN, "http://example.invalid")
        ]));
        assert!(!ours(&[(HOST, "127.0.0.1:7433"), (ORIGIN, "null")]));
        assert!(!ours(&[]));
    }

    #[test]
    fn only_the_token_itself_is_taken() {
        let access = Access {
            token: "secret".into(),
            hosts: Vec::new(),
        };
        let given = |value| access.is_token(&headers(&[(AUTHORIZATION, value)]));
        for right in ["Bearer secret", "bearer secret", "BEARER  secret"] {
            assert!(given(right), "{right}");
        }
        for wrong in [
            "Bearer secre",
            "Bearer secret2",
            "secret",
            "Basic secret",
            "Bearer ",
            "Bearersecret",
            "bearer SECRET",
        ] {
            assert!(!given(wrong), "{wrong}");
        }
        assert!(!access.is_token(&HeaderMap::new()));
    }
}
