//! The server that is tested, the one that it is compared with, and what they answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use dormouse_test_support::{TIMEOUT, dormouse, guest, reactor, until, wasmtime};

/// A server, and where it listens.
pub struct Server {
    pub child: Child,
    pub address: String,
    /// What it has said on stderr after that.
    said: mpsc::Receiver<String>,
    pub folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The guest as a component, in a folder.
pub fn program() -> Result<(TempDir, String), String> {
    let module = std::fs::read(guest("p2_serve")).map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().expect("a scratch directory");
    let path = folder.path().join("p2_serve.wasm");
    std::fs::write(&path, reactor(&module)?).expect("a scratch file can be written");
    let path = path.display().to_string();
    Ok((folder, path))
}

impl Server {
    /// Starts a command that says where it listens behind `http://`.
    pub fn start(mut command: Command, folder: TempDir) -> Result<Self, String> {
        let mut child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, said) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        let mut server = Self {
            child,
            address: String::new(),
            said,
            folder,
        };
        let line = server.until_said("http://")?;
        let (_, address) = line.split_once("http://").unwrap_or_default();
        server.address = address.trim_end_matches('/').to_owned();
        Ok(server)
    }

    pub fn dormouse(engine: &str, options: &[&str]) -> Result<Self, String> {
        Self::dormouse_at("127.0.0.1:0", engine, options)
    }

    pub fn dormouse_at(address: &str, engine: &str, options: &[&str]) -> Result<Self, String> {
        let (folder, path) = program()?;
        let mut command = dormouse();
        command
            .args(["serve-http", "--listen", address, "--engine", engine])
            .args(options)
            .arg(path);
        Self::start(command, folder)
    }

    pub fn wasmtime() -> Result<Self, String> {
        let (folder, path) = program()?;
        let mut command = wasmtime();
        command.args(["serve", "-S", "cli", "--addr", "127.0.0.1:0", &path]);
        Self::start(command, folder)
    }

    pub fn until_said(&self, part: &str) -> Result<String, String> {
        let mut all = String::new();
        loop {
            match self.said.recv_timeout(TIMEOUT) {
                Ok(line) if line.contains(part) => return Ok(line),
                Ok(line) => all = all + &line + "\n",
                Err(error) => return Err(format!("it does not say {part}: {error}\n{all}")),
            }
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = until("a server", || TcpStream::connect(&self.address).ok());
        stream.set_read_timeout(Some(TIMEOUT)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    /// Sends each of the parts, with a pause between them, and gives all that comes.
    pub fn talk(&self, parts: &[&str]) -> Vec<u8> {
        let mut stream = self.connect();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                thread::sleep(Duration::from_millis(2));
            }
            // A server that has refused it may have ended the connection.
            let _ = stream.write_all(part.as_bytes());
        }
        let mut all = Vec::new();
        // What is not read of a request that is refused resets the connection.
        let _ = stream.read_to_end(&mut all);
        all
    }

    pub fn ask(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        shown(&self.talk(&[&request]))
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        let child = std::cell::RefCell::new(&mut self.child);
        let ended = || child.borrow_mut().try_wait().expect("a child");
        until("its end", ended).code()
    }
}

/// Responses as a test compares them: fields in order of their names, without the date, and bodies
/// without their framing.
pub fn shown(bytes: &[u8]) -> String {
    let mut shown = String::new();
    let mut rest = bytes;
    // HEAD requests and statuses without a body are told by the length that is missing.
    while !rest.is_empty() {
        let Some(at) = rest.windows(4).position(|part| part == b"\r\n\r\n") else {
            return shown + &format!("rest {:?}\n", String::from_utf8_lossy(rest));
        };
        let head = String::from_utf8_lossy(&rest[..at]).into_owned();
        rest = &rest[at + 4..];
        let mut lines = head.split("\r\n");
        shown += &format!("{}\n", lines.next().unwrap_or_default());
        let mut fields: Vec<&str> = lines.filter(|line| !line.starts_with("date: ")).collect();
        fields.sort_unstable();
        shown += &fields.join("\n");
        let is_continue = head.starts_with("HTTP/1.1 100");
        let has_body = !rest.starts_with(b"HTTP/1.") && !is_continue;
        let length = fields
            .iter()
            .find_map(|field| field.strip_prefix("content-length: "));
        let body = match length {
            _ if !has_body => Vec::new(),
            _ if fields.contains(&"transfer-encoding: chunked") => unchunked(&mut rest),
            Some(length) => {
                let length: usize = length.parse().expect("a length");
                let (body, more) = rest.split_at(length.min(rest.len()));
                rest = more;
                body.to_vec()
            }
            None => std::mem::take(&mut rest).to_vec(),
        };
        shown += &format!("\n{}\n", String::from_utf8_lossy(&body));
    }
    shown
}

/// The bytes of chunks, and what is behind the last one.
fn unchunked(rest: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let Some(at) = rest.windows(2).position(|part| part == b"\r\n") else {
            body.extend(b"(not whole)");
            return body;
        };
        let size = String::from_utf8_lossy(&rest[..at]).into_owned();
        let size = usize::from_str_radix(&size, 16).expect("a size");
        *rest = &rest[at + 2..];
        if size == 0 {
            let end = rest.windows(2).position(|part| part == b"\r\n");
            let end = match end {
                Some(0) => 2,
                _ => {
                    rest.windows(4)
                        .position(|part| part == b"\r\n\r\n")
                        .expect("an end")
                        + 4
                }
            };
            body.extend(b"|");
            body.extend(&rest[..end]);
            *rest = &rest[end..];
            return body;
        }
        if rest.len() < size + 2 {
            body.extend(std::mem::take(rest));
            body.extend(b"(not whole)");
            return body;
        }
        body.extend(&rest[..size]);
        *rest = &rest[size + 2..];
    }
}
