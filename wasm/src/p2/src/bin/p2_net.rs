//! Sockets by the standard library, with both ends in this program: TCP and UDP, errors,
//! more data than a socket takes at once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut a = TcpStream::connect(addr).unwrap();
    let (mut b, from) = listener.accept().unwrap();
    println!("same {}", from == a.local_addr().unwrap());
    a.write_all(b"hello from a").unwrap();
    let mut buf = [0; 64];
    let n = b.read(&mut buf).unwrap();
    println!("{:?}", std::str::from_utf8(&buf[..n]).unwrap());
    b.set_nodelay(true).map_err(|e| e.kind()).ok();
    b.write_all(b"answer").unwrap();
    b.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    a.read_to_string(&mut all).unwrap();
    println!("{all:?}");
    a.set_read_timeout(Some(Duration::from_millis(50)))
        .map_err(|e| println!("timeout {:?}", e.kind()))
        .ok();
    println!("ttl {:?}", a.ttl().map_err(|e| e.kind()));
    drop(a);
    println!(
        "read after close {:?}",
        b.read(&mut buf).map_err(|e| e.kind())
    );
    listener.set_nonblocking(true).unwrap();
    println!(
        "accept {:?}",
        listener.accept().map(drop).map_err(|e| e.kind())
    );
    println!(
        "refused {:?}",
        TcpStream::connect("127.0.0.1:1")
            .map(drop)
            .map_err(|e| e.kind())
    );
    println!(
        "in use {:?}",
        TcpListener::bind(addr).map(drop).map_err(|e| e.kind())
    );
    // much data
    listener.set_nonblocking(false).unwrap();
    let mut a = TcpStream::connect(addr).unwrap();
    let (mut b, _) = listener.accept().unwrap();
    let data: Vec<u8> = (0..100_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let (mut sent, mut got) = (0, Vec::<u8>::new());
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    while got.len() < data.len() {
        if sent < data.len() {
            match a.write(&data[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => panic!("{e}"),
            }
        }
        let mut buf = [0; 5000];
        match b.read(&mut buf) {
            Ok(n) => got.extend(&buf[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => panic!("{e}"),
        }
    }
    println!("big {}", got == data);
    let u = UdpSocket::bind("127.0.0.1:0").unwrap();
    let v = UdpSocket::bind("127.0.0.1:0").unwrap();
    u.send_to(b"datagram", v.local_addr().unwrap()).unwrap();
    let (n, from) = v.recv_from(&mut buf).unwrap();
    println!(
        "{:?} {}",
        std::str::from_utf8(&buf[..n]),
        from == u.local_addr().unwrap()
    );
    v.connect(u.local_addr().unwrap()).unwrap();
    v.send(b"back").unwrap();
    let n = u.recv(&mut buf).unwrap();
    println!("{:?}", std::str::from_utf8(&buf[..n]));
    println!("peer {:?}", v.peer_addr().is_ok());
    u.set_nonblocking(true).unwrap();
    println!("recv {:?}", u.recv(&mut buf).map_err(|e| e.kind()));
    std::thread::sleep(Duration::from_millis(20));
    println!("end");
}
