//! A chat room: what a client says is told to all others. It bears the name that its first line gives.
//!
//! usage: ex_chat ADDRESS
use std::io::{self, Read, Write};
use wasmedge_wasi_socket::poll::{poll, EventType, Subscription};
use wasmedge_wasi_socket::{TcpListener, TcpStream};

struct Client {
    stream: TcpStream,
    name: Option<String>,
    /// What has arrived of a line that is not whole.
    started: Vec<u8>,
}

/// What has arrived, or `None` where the client has gone.
fn lines(client: &mut Client) -> Option<Vec<String>> {
    let mut buffer = [0; 1024];
    loop {
        match client.stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => client.started.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => {
                println!("lost a client: {error}");
                return None;
            }
        }
    }
    let mut lines = Vec::new();
    while let Some(end) = client.started.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = client.started.drain(..=end).collect();
        lines.push(String::from_utf8_lossy(&line).trim_end().to_string());
    }
    Some(lines)
}

fn tell(clients: &mut [Option<Client>], from: usize, text: &str) {
    println!("{text}");
    for (place, client) in clients.iter_mut().enumerate() {
        let Some(client) = client.as_mut().filter(|client| place != from && client.name.is_some()) else {
            continue;
        };
        // One that does not read misses it.
        let _ = client.stream.write(format!("{text}\n").as_bytes());
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(address, true)?;
    println!("open on {}", listener.local_addr()?);
    let mut clients: Vec<Option<Client>> = Vec::new();
    loop {
        let mut wanted = vec![Subscription::io(u64::MAX, &listener, true, false, None)];
        for (place, client) in clients.iter().enumerate() {
            if let Some(client) = client {
                wanted.push(Subscription::io(place as u64, &client.stream, true, false, None));
            }
        }
        for event in poll(&wanted)? {
            if event.userdata == u64::MAX {
                if let Ok((stream, _)) = listener.accept(true) {
                    let client = Client { stream, name: None, started: Vec::new() };
                    match clients.iter().position(Option::is_none) {
                        Some(place) => clients[place] = Some(client),
                        None => clients.push(Some(client)),
                    }
                }
                continue;
            }
            let place = event.userdata as usize;
            let Some(client) = clients[place].as_mut() else { continue };
            let gone = matches!(event.event_type, EventType::Error(_));
            let Some(said) = lines(client).filter(|_| !gone) else {
                if let Some(name) = clients[place].take().and_then(|client| client.name) {
                    tell(&mut clients, place, &format!("{name} has gone"));
                }
                continue;
            };
            for line in said {
                let Some(client) = clients[place].as_mut() else { break };
                match client.name.clone() {
                    Some(name) => tell(&mut clients, place, &format!("{name}: {line}")),
                    None => {
                        client.name = Some(line.clone());
                        let _ = client.stream.write(format!("welcome {line}\n").as_bytes());
                        tell(&mut clients, place, &format!("{line} has come"));
                    }
                }
            }
        }
    }
}
