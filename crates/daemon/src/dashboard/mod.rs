//! The dashboard's own files, which are part of the binary. They hold no secrets: the page asks the
//! API, with the token from its address.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// Scripts and styles come from here alone, and no other page may frame this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FILES: [(&str, &str, &str); 10] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("style.css"),
    ),
    (
        "/app.js",
        "text/javascript; charset=utf-8",
        include_str!("app.js"),
    ),
    (
        "/api.js",
        "text/javascript; charset=utf-8",
        include_str!("api.js"),
    ),
    (
        "/fields.js",
        "text/javascript; charset=utf-8",
        include_str!("fields.js"),
    ),
    (
        "/form.js",
        "text/javascript; charset=utf-8",
        include_str!("form.js"),
    ),
    (
        "/nodes.js",
        "text/javascript; charset=utf-8",
        include_str!("nodes.js"),
    ),
    (
        "/task.js",
        "text/javascript; charset=utf-8",
        include_str!("task.js"),
    ),
    (
        "/text.js",
        "text/javascript; charset=utf-8",
        include_str!("text.js"),
    ),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// The paths of the files.
pub(crate) fn routes() -> Router {
    FILES
        .iter()
        .fold(Router::new(), |router, (path, kind, text)| {
            let answer = move || async move {
                let headers = [
                    (header::CONTENT_TYPE, *kind),
                    (header::CONTENT_SECURITY_POLICY, POLICY),
                    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                    (header::REFERRER_POLICY, "no-referrer"),
                    (header::CACHE_CONTROL, "no-cache"),
                ];
                (headers, *text).into_response()
            };
            router.route(path, get(answer))
        })
}
