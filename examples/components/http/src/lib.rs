//! A component in Rust that answers HTTP requests: counts one more sheep at each, and sleeps between
//! them.

use std::cell::Cell;

use wasi::exports::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasi::http::proxy::export!(Meadow);

struct Meadow;

thread_local! {
    static SHEEP: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Meadow {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let sheep = SHEEP.get() + 1;
        SHEEP.set(sheep);
        println!("{:?}", request.path_with_query());
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("nobody has taken it");
        ResponseOutparam::set(answer, Ok(response));
        let stream = body.write().expect("nobody has taken it");
        let text = format!("{sheep} sheep\n");
        // Whoever has asked may be gone.
        let _ = stream.blocking_write_and_flush(text.as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
