//! Which requests are allowed. Every request but those for the dashboard's own files carries a
//! token, whose role must allow what is asked ([`routes`](crate::access::routes)).
//!
//! The token travels in a header that no other web page can set, so that no request from another
//! origin can act. A page that has pointed a name of its own at this machine (DNS rebinding) is
//! recognised by the `Host` header: a daemon is asked by its address, or by `localhost`.
//!
//! What another node passes on carries no token: that node has seen it, and says who asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::audit::AuditEntry;
use crate::access::caller::Caller;
use crate::access::routes::needed;
use crate::admission::ConnectionSlot;
use crate::http::answers::{Added, Refused, problem};
use crate::http::connections::accept::OtherNode;
use crate::http::connections::serving::RemoteAddress;
use crate::http::served::Served;
use crate::http::wire::time;
use crate::model::Role;

/// A request's header by which an admin acts for a tenant.
pub(crate) const TENANT_HEADER: &str = "dormouse-tenant";

/// The header by which a node says who asks.
pub(crate) const CALLER_HEADER: &str = "dormouse-caller";

/// Who may ask, and by which names beside its address the daemon may be asked.
pub(crate) struct Access {
    pub(crate) hosts: Vec<String>,
    pub(crate) served: Arc<Served>,
}

/// Refuses requests that are not allowed, and notes the others in the audit log.
pub(crate) async fn check(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let node = request.extensions().get::<OtherNode>().cloned();
    if node.is_none() && !is_ours(request.headers(), &access.hosts) {
        return problem(
            StatusCode::FORBIDDEN,
            "ask the daemon by its address or as localhost; `serve --host NAME` allows a name",
        );
    }
    let asked = Asked::of(&request);
    let caller = match &node {
        Some(node) => passed_on(request.headers()).ok_or_else(|| {
            let text = format!("node {} does not say who asks", node.0);
            problem(StatusCode::BAD_REQUEST, &text)
        }),
        None => access.caller(request.headers()).await,
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(refused) => {
            let response = refused.into_response();
            asked.note(&access.served, None, &response);
            return response;
        }
    };
    if let Some(refused) = asked.not_allowed(&caller) {
        let response = refused.into_response();
        asked.note(&access.served, Some(&caller), &response);
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
    let caller = Arc::new(caller);
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await.into_response();
    if asked.role > Role::Read {
        asked.note(&access.served, Some(&caller), &response);
    }
    response
}

/// What a request asks for, as the audit log has it.
struct Asked {
    role: Role,
    method: Method,
    /// The path as the table of routes has it.
    route: String,
    /// What stands for the part of it in braces.
    on: Option<String>,
    from: Option<SocketAddr>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        let matched = extensions.get::<MatchedPath>();
        let path = request.uri().path();
        let route = matched.map_or(path, MatchedPath::as_str);
        let on = route
            .split('/')
            .zip(path.split('/'))
            .find(|(part, _)| part.starts_with('{'));
        Self {
            role: needed(request.method(), route),
            method: request.method().clone(),
            route: route.into(),
            on: on.map(|(_, value)| value.to_string()),
            from: extensions.get::<RemoteAddress>().map(|from| from.0),
        }
    }

    /// Why a caller may not do it.
    fn not_allowed(&self, caller: &Caller) -> Option<Refused> {
        if caller.role >= self.role {
            return None;
        }
        let (token, has, needs) = (&caller.token, caller.role, self.role);
        let (method, route) = (&self.method, &self.route);
        let text =
            format!("{method} {route} needs the role {needs}, and token {token:?} has {has}");
        Some(Refused::new(StatusCode::FORBIDDEN, text))
    }

    fn note(&self, served: &Served, caller: Option<&Caller>, response: &Response) {
        let Some(audit) = &served.audit else { return };
        let added = response.extensions().get::<Added>();
        audit.note(&AuditEntry {
            time: time(served.daemon.now()),
            token: caller.map(|caller| caller.token.clone()),
            tenant: caller.map(|caller| caller.tenant_name.clone()),
            from: self.from.map(|from| from.to_string()),
            action: format!("{} {}", self.method, self.route),
            on: self.on.clone(),
            added: added.map_or_else(Vec::new, |added| added.0.clone()),
            status: response.status().as_u16(),
        });
    }
}

/// Who has asked another node, as that one says.
fn passed_on(headers: &HeaderMap) -> Option<Caller> {
    let told = headers.get(CALLER_HEADER)?.as_bytes();
    serde_json::from_slice(told).ok()
}

impl Access {
    /// Who has sent a request, or why nobody knows.
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Response> {
        let given = headers.get(AUTHORIZATION);
        let given = given.and_then(|value| bearer(value.as_bytes()));
        let caller = match given {
            Some(token) => self.served.tokens.caller(token).await,
            None => Ok(None),
        };
        let caller = caller.map_err(|error| Refused::from(error).into_response())?;
        let Some(caller) = caller else {
            let text = "the token is missing or wrong; the daemon keeps it in its data directory, and \
                        prints where at its start";
            let mut response = problem(StatusCode::UNAUTHORIZED, text);
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            return Err(response);
        };
        let Some(tenant) = headers.get(TENANT_HEADER) else {
            return Ok(caller);
        };
        let tenant = String::from_utf8_lossy(tenant.as_bytes());
        let acting = self.acting_for(caller, &tenant).await;
        acting.map_err(IntoResponse::into_response)
    }

    /// The same caller for another tenant.
    async fn acting_for(&self, caller: Caller, tenant: &str) -> Result<Caller, Refused> {
        if caller.role < Role::Admin && caller.tenant_name != tenant {
            let text = format!(
                "token {:?} is tenant {}'s, and only an admin acts for another one",
                caller.token, caller.tenant_name
            );
            return Err(Refused::new(StatusCode::FORBIDDEN, text));
        }
        let tenant = self.served.tenants.named(tenant).await?;
        Ok(Caller {
            tenant: tenant.id,
            tenant_name: tenant.name,
            acts_for: true,
            ..caller
        })
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
    fn the_token_stands_behind_its_scheme() {
        let given = |value: &'static str| bearer(value.as_bytes());
        for right in ["Bearer secret", "bearer secret", "BEARER  secret"] {
            assert_eq!(given(right), Some(&b"secret"[..]), "{right}");
        }
        for wrong in ["secret", "Basic secret", "Bearersecret"] {
            assert_eq!(given(wrong), None, "{wrong}");
        }
    }
}
