//! The one table of which role each path needs. A path that is not in it needs an admin.

use axum::http::Method;

use crate::model::Role::{self, Admin, Metrics, Operator, Read, Submit};

/// Methods and paths, with the role that each needs at least. `docs/tenants.md` shows it.
pub(crate) const ROUTES: [(&str, &str, Role); 41] = [
    ("GET", "/openapi.json", Read),
    ("GET", "/v1/tasks", Read),
    ("GET", "/v1/tasks/{id}", Read),
    ("GET", "/v1/tasks/{id}/logs", Read),
    ("GET", "/v1/tasks/{id}/runs", Read),
    ("GET", "/v1/events", Read),
    ("GET", "/v1/timeline", Read),
    ("GET", "/v1/stats", Read),
    ("GET", "/v1/limits", Read),
    ("GET", "/v1/preparations", Read),
    ("GET", "/metrics", Metrics),
    ("GET", "/v1/modules/{digest}", Submit),
    ("PUT", "/v1/modules", Submit),
    ("POST", "/v1/tasks", Submit),
    ("POST", "/v1/batch", Submit),
    ("POST", "/v1/snapshots", Submit),
    ("DELETE", "/v1/tasks/{id}", Operator),
    ("POST", "/v1/tasks/{id}/pause", Operator),
    ("POST", "/v1/tasks/{id}/resume", Operator),
    ("POST", "/v1/tasks/{id}/kill", Operator),
    ("POST", "/v1/tasks/{id}/start", Operator),
    ("GET", "/v1/tasks/{id}/snapshot", Operator),
    ("POST", "/v1/tasks/{id}/migrate", Admin),
    ("POST", "/v1/tasks/{id}/decide", Admin),
    ("GET", "/v1/moves", Admin),
    ("POST", "/v1/drain", Admin),
    ("GET", "/v1/peers", Admin),
    ("POST", "/v1/peers", Admin),
    ("DELETE", "/v1/peers/{name}", Admin),
    ("GET", "/v1/tokens", Admin),
    ("POST", "/v1/tokens", Admin),
    ("DELETE", "/v1/tokens/{name}", Admin),
    ("GET", "/v1/tenants", Admin),
    ("POST", "/v1/tenants", Admin),
    ("GET", "/v1/tenants/{name}", Admin),
    ("PUT", "/v1/tenants/{name}", Admin),
    ("DELETE", "/v1/tenants/{name}", Admin),
    ("GET", "/v1/audit", Admin),
    ("GET", "/v1/nodes", Admin),
    ("POST", "/v1/nodes/{name}/drain", Admin),
    ("DELETE", "/v1/nodes/{name}/drain", Admin),
];

/// The role that a request needs.
pub(crate) fn needed(method: &Method, path: &str) -> Role {
    let method = match *method {
        Method::HEAD => "GET",
        _ => method.as_str(),
    };
    let of_path = ROUTES.iter().filter(|(_, known, _)| *known == path);
    let mut of_path = of_path.peekable();
    // A method that a path does not take is refused, whoever asks.
    let otherwise = match of_path.peek() {
        Some(_) => Read,
        None => Admin,
    };
    let found = of_path.find(|(known, ..)| *known == method);
    found.map_or(otherwise, |(.., role)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_users_has_the_same_table() {
        let page = include_str!("../../../../docs/tenants.md");
        let said: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let said: Vec<&str> = said
            .into_iter()
            .filter(|line| line.contains(" /"))
            .collect();
        let known = ROUTES.map(|(method, path, role)| format!("| `{method} {path}` | {role} |"));
        assert_eq!(said, known);
    }

    #[test]
    fn a_path_needs_what_the_table_says_and_else_an_admin() {
        assert_eq!(needed(&Method::GET, "/v1/tasks"), Read);
        assert_eq!(needed(&Method::HEAD, "/v1/tasks/{id}/snapshot"), Operator);
        assert_eq!(needed(&Method::POST, "/v1/tasks"), Submit);
        assert_eq!(needed(&Method::PATCH, "/v1/tasks"), Read);
        assert_eq!(needed(&Method::GET, "/v1/secrets"), Admin);
        for (index, (method, path, _)) in ROUTES.iter().enumerate() {
            let twice = |(other, known, _): &(&str, &str, _)| other == method && known == path;
            assert!(!ROUTES[..index].iter().any(twice), "{method} {path}");
        }
    }
}
