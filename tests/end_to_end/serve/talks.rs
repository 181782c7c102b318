//! What peers say.

/// What a peer sends over one connection. The last request says that the connection ends with it.
pub const TALKS: [(&str, &str); 23] = [
    (
        "show",
        "POST /show?a=b%20c HTTP/1.1\r\nHost: example\r\nX-Two: one\r\nx-two: two\r\n\
         Content-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    (
        "chunked",
        "PUT /show HTTP/1.1\r\nHost: example:80\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n5\r\nhello\r\n8;ext=\"1\"\r\n, world!\r\n0\r\nX-Sum: 13\r\n\r\n",
    ),
    (
        "pipelined",
        "GET /show HTTP/1.1\r\nHost: a\r\n\r\nGET /fields HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour\
         HEAD /fields HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "unread body",
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour\
         GET /fields HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "head",
        "HEAD /status/200 HTTP/1.1\r\nHost: a\r\n\r\n\
         HEAD /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    ("1.0", "GET /fields HTTP/1.0\r\nHost: a\r\n\r\n"),
    (
        "1.0 kept",
        "GET /empty HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n\
         GET /show HTTP/1.0\r\nHost: a\r\n\r\n",
    ),
    (
        "absolute",
        "GET http://other:99/show?x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "star",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "own method",
        "X-OWN /show HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "no content",
        "GET /status/204 HTTP/1.1\r\nHost: a\r\n\r\nGET /status/304 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /status/404 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /status/299 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "early",
        "GET /early HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "trailers",
        "POST /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Length: 2\r\n\r\nab\
         POST /trailers HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
    ),
    (
        "many",
        "GET /many/300000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "slow",
        "GET /slow/20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "two lengths",
        "POST /show HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfour",
    ),
    (
        "one length twice",
        "POST /show HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\
         Connection: close\r\n\r\nfour",
    ),
    (
        "no length",
        "POST /show HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nfour",
    ),
    (
        "unknown coding",
        "POST /show HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nfour",
    ),
    (
        "chunked in 1.0",
        "POST /show HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("no method", "G ET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no version", "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    ("no field", "GET / HTTP/1.1\r\nHost: a\r\nx y\r\n\r\n"),
];

/// The talks that are cut at each byte; under rehearsal, the last two.
pub const CUT: [&str; 4] = ["show", "chunked", "pipelined", "trailers"];
