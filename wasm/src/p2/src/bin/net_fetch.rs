//! Asks for pages by the standard library's sockets, and prints what comes. `net_fetch ADDRESS`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

fn main() {
    let address = std::env::args().nth(1).expect("an address");
    for path in ["/first", "/second", "/third"] {
        let stream = match TcpStream::connect(&address) {
            Ok(stream) => stream,
            Err(error) => {
                println!("no connection: {:?}", error.kind());
                return;
            }
        };
        let mut stream = BufReader::new(stream);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).expect("it is sent");
        let mut line = String::new();
        while stream.read_line(&mut line).expect("a line") > 2 {
            print!("{path}: {line}");
            line.clear();
        }
        // The server closes each connection at its end.
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the end");
        println!("{path}: {rest:?}");
    }
}
