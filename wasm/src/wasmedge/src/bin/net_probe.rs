//! One call after the other of the crate `wasmedge_wasi_socket`; says what comes back.
//!
//! usage: net_probe CASE [ARGUMENT]...
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};
use wasmedge_wasi_socket::socket::{AddressFamily, Socket, SocketOptLevel, SocketOptName, SocketType, MSG_PEEK, MSG_WAITALL};
use wasmedge_wasi_socket::{nslookup, poll, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

fn resolved(text: &str) -> SocketAddr {
    text.to_socket_addrs().expect("an address").next().expect("one")
}

fn opened(address: &SocketAddr, kind: SocketType) -> Socket {
    Socket::new(AddressFamily::from(address), kind).expect("a socket")
}

fn bytes(buffer: &[MaybeUninit<u8>], count: usize) -> String {
    let read = buffer[..count].iter().map(|byte| unsafe { byte.assume_init() });
    String::from_utf8_lossy(&read.collect::<Vec<u8>>()).into_owned()
}

/// Sends each line and prints the answer, which has as many bytes.
fn client(address: &str, lines: &[String]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    println!("peer {}", stream.peer_addr()?);
    println!("own address {}", stream.local_addr()?.ip());
    for line in lines {
        stream.write_all(line.as_bytes())?;
        let mut answer = vec![0; line.len()];
        stream.read_exact(&mut answer)?;
        println!("{}", String::from_utf8_lossy(&answer));
    }
    stream.shutdown(Shutdown::Write)?;
    println!("then {} bytes", stream.read(&mut [0; 10])?);
    Ok(())
}

/// Echoes for so many connections, one after the other, and is the plainest server there is.
fn echo(address: &str, count: usize) -> io::Result<()> {
    let listener = TcpListener::bind(address, false)?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming().take(count) {
        let mut stream = stream?;
        let mut buffer = [0; 4096];
        let mut total = 0;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break println!("end after {total}"),
                Ok(count) => {
                    total += count;
                    if let Err(error) = stream.write_all(&buffer[..count]) {
                        break println!("cannot answer: {}", error.raw_os_error().unwrap_or(-1));
                    }
                }
                Err(error) => break println!("error {} after {total}", error.raw_os_error().unwrap_or(-1)),
            }
        }
    }
    Ok(())
}

/// Answers so many datagrams with their bytes in reverse.
fn udp_echo(address: &str, count: usize) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    for _ in 0..count {
        let mut buffer = [0; 2048];
        let (length, from) = socket.recv_from(&mut buffer)?;
        buffer[..length].reverse();
        println!("{length} from {}", from.ip());
        socket.send_to(&buffer[..length], from)?;
    }
    Ok(())
}

fn udp_client(address: &str, lines: &[String]) -> io::Result<()> {
    let to = resolved(address);
    let socket = opened(&to, SocketType::Datagram);
    for line in lines {
        println!("sent {}", socket.send_to(line.as_bytes(), to)?);
        let mut buffer = [MaybeUninit::uninit(); 8];
        let (count, from, flags) = socket.recv_from_with_flags(&mut buffer, MSG_PEEK)?;
        println!("peeked {:?} from {from}, flags {flags}", bytes(&buffer, count));
        let mut buffer = [0; 2048];
        let (count, from) = socket.recv_from(&mut buffer)?;
        println!("{:?} from {from}", String::from_utf8_lossy(&buffer[..count]));
    }
    Ok(())
}

fn options(address: &str) -> io::Result<()> {
    let address = resolved(address);
    let socket = opened(&address, SocketType::Stream);
    let flag = |socket: &Socket, name, value: i32| socket.setsockopt(SocketOptLevel::SolSocket, name, value);
    println!("device {:?}", socket.device()?);
    println!("timeouts {:?} {:?}", socket.get_recv_timeout()?, socket.get_send_timeout()?);
    socket.set_recv_timeout(Some(Duration::from_millis(1500)))?;
    socket.set_send_timeout(Some(Duration::from_secs(2)))?;
    println!("timeouts {:?} {:?}", socket.get_recv_timeout()?, socket.get_send_timeout()?);
    println!("reuse {}", socket.reuse_address()?);
    flag(&socket, SocketOptName::SoReuseaddr, 1)?;
    println!("reuse {}", socket.reuse_address()?);
    println!("keepalive {}", socket.keepalive()?);
    flag(&socket, SocketOptName::SoKeepalive, 1)?;
    println!("keepalive {}", socket.keepalive()?);
    println!("broadcast {}", socket.broadcast()?);
    flag(&socket, SocketOptName::SoRcvbuf, 20000)?;
    println!("buffer {}", socket.recv_buffer_size()?);
    println!("listens {}", socket.is_listener()?);
    println!("stream {}", matches!(socket.r#type()?, SocketType::Stream));
    println!("nonblocking {}", socket.nonblocking()?);
    socket.set_nonblocking(true)?;
    println!("nonblocking {}", socket.nonblocking()?);
    println!("error {:?}", socket.take_error());
    println!("type {:?}", flag(&socket, SocketOptName::SoType, 1).map_err(|error| error.raw_os_error()));
    socket.bind(&address)?;
    socket.listen(5)?;
    println!("listens {}", socket.is_listener()?);
    println!("peer {:?}", socket.get_peer().map_err(|error| error.raw_os_error()));
    println!("accept {:?}", socket.accept(false).map(drop).map_err(|error| error.raw_os_error()));
    Ok(())
}

/// A receive that nobody answers, and one of which half arrives.
fn timeout(address: &str) -> io::Result<()> {
    let to = resolved(address);
    let socket = opened(&to, SocketType::Stream);
    socket.connect(&to)?;
    socket.set_recv_timeout(Some(Duration::from_millis(300)))?;
    let started = Instant::now();
    println!("{:?}", socket.recv(&mut [0; 10]).map_err(|error| error.raw_os_error()));
    let waited = started.elapsed();
    println!("waited {}", waited >= Duration::from_millis(300) && waited < Duration::from_secs(10));
    socket.send(b"half")?;
    let mut buffer = [MaybeUninit::uninit(); 8];
    let (count, _) = socket.recv_with_flags(&mut buffer, MSG_WAITALL)?;
    println!("{:?}", bytes(&buffer, count));
    Ok(())
}

/// Receives all of it at once, however it arrives.
fn waitall(address: &str, length: usize) -> io::Result<()> {
    let to = resolved(address);
    let socket = opened(&to, SocketType::Stream);
    socket.connect(&to)?;
    let mut buffer = vec![MaybeUninit::uninit(); length];
    let (count, _) = socket.recv_with_flags(&mut buffer[..3], MSG_PEEK)?;
    println!("peeked {:?}", bytes(&buffer, count));
    let (count, flags) = socket.recv_with_flags(&mut buffer, MSG_WAITALL)?;
    let sum = bytes(&buffer, count).bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    println!("{count} bytes, flags {flags}, sum {sum}");
    let (count, _) = socket.recv_with_flags(&mut buffer, MSG_WAITALL)?;
    println!("then {count}");
    Ok(())
}

/// Connects without waiting, and polls for it.
fn nonblocking(address: &str) -> io::Result<()> {
    let to = resolved(address);
    let socket = opened(&to, SocketType::Stream);
    socket.set_nonblocking(true)?;
    match socket.connect(&to) {
        Err(error) => println!("connect {:?}", error.raw_os_error()),
        Ok(()) => println!("connect Some(26)"),
    }
    let wait = |read, write| {
        let late = std::time::SystemTime::now() + Duration::from_secs(20);
        let wanted = [poll::Subscription::io(7, &socket, read, write, Some(late))];
        for event in poll::poll(&wanted).expect("a poll") {
            match event.event_type {
                poll::EventType::Error(error) => println!("{} error {:?}", event.userdata, error.kind()),
                poll::EventType::Read => println!("{} read", event.userdata),
                poll::EventType::Write => println!("{} write", event.userdata),
                poll::EventType::Timeout => println!("timeout"),
            }
        }
    };
    wait(false, true);
    println!("then {:?}", socket.take_error().map_err(|error| error.raw_os_error()));
    println!("send {:?}", socket.send(b"hello").map_err(|error| error.raw_os_error()));
    wait(true, false);
    let mut buffer = [0; 10];
    println!("recv {:?}", socket.recv(&mut buffer).map_err(|error| error.raw_os_error()));
    println!("recv {:?}", socket.recv(&mut buffer).map_err(|error| error.raw_os_error()));
    Ok(())
}

fn lookup(name: &str, service: &str) -> io::Result<()> {
    for address in nslookup(name, service)? {
        println!("{address}");
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |place: usize| arguments.get(place).map_or("", String::as_str);
    let number = |place: usize| text(place).parse().expect("a number");
    let done = match text(0) {
        "client" => client(text(1), &arguments[2..]),
        "echo" => echo(text(1), number(2)),
        "udp-echo" => udp_echo(text(1), number(2)),
        "udp-client" => udp_client(text(1), &arguments[2..]),
        "options" => options(text(1)),
        "timeout" => timeout(text(1)),
        "waitall" => waitall(text(1), number(2)),
        "nonblocking" => nonblocking(text(1)),
        "lookup" => lookup(text(1), text(2)),
        case => panic!("no such case: {case:?}"),
    };
    if let Err(error) = done {
        println!("failed: {:?}", error.raw_os_error());
    }
}
