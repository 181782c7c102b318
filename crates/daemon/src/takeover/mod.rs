//! A new daemon takes the place of an old one in the same directory, with all of its sockets.
//!
//! ```text
//!   new                                     old
//!    |  ---- take over (version) ---------->  answers no more requests, puts all tasks to sleep
//!    |  <--- a listener, its socket --------
//!    |  <--- a task's sockets --------------  …
//!    |  <--- that was all ------------------
//!    |  ---- got it ----------------------->  ends, and with it its lock on the store
//!    |  opens the store, serves
//! ```
//!
//! Clients that connect in the meantime wait in the kernel's queue, and what arrives waits in the
//! sockets. The socket for the takeover is in the daemon's directory, to which only its user has
//! access.

use std::fs;
use std::io::{self, Error, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::frame;
use crate::sockets::TaskSockets;

/// The version of the messages. Both daemons must have the same.
const VERSION: u32 = 1;

/// The name of the takeover's socket in the daemon's directory.
const SOCKET_NAME: &str = "takeover";

/// At most this many descriptors are sent with one message; the kernel allows 253.
const MOST_DESCRIPTORS_AT_ONCE: usize = 200;

/// Bytes of the largest message.
const LARGEST_MESSAGE_BYTES: u32 = 16 << 20;

/// How long either daemon waits for the other's next message. Both are on this machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A message of a takeover.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// New: hand everything over.
    TakeOver { version: u32, tool: String },
    /// Old: it cannot hand over, and why.
    Refused(String),
    /// Old: a listener of the daemon's own, by its name, with its descriptor.
    Listener(String),
    /// Old: some descriptors of the task that follows.
    More,
    /// Old: a task's sockets, with the last of its descriptors.
    Task(serde_bytes::ByteBuf),
    /// Old: that was all.
    End,
    /// New: everything has arrived.
    Got,
}

/// All sockets that one daemon hands over to the next.
#[derive(Debug, Default)]
pub struct HandedOverSockets {
    /// The daemon's own listeners, by name.
    pub listeners: Vec<(String, OwnedFd)>,
    /// The sockets of tasks.
    pub kept: Vec<TaskSockets>,
}

impl HandedOverSockets {
    /// Takes the listener of this name.
    pub fn listener(&mut self, name: &str) -> Option<OwnedFd> {
        let index = self.listeners.iter().position(|(known, _)| known == name)?;
        Some(self.listeners.swap_remove(index).1)
    }

    /// The tasks' sockets, for `Daemon::start_with`.
    pub fn take_kept(&mut self) -> Vec<TaskSockets> {
        std::mem::take(&mut self.kept)
    }
}

/// The socket on which a daemon is asked to hand over.
#[derive(Debug)]
pub struct TakeoverListener {
    listener: tokio::net::UnixListener,
    path: PathBuf,
}

impl TakeoverListener {
    /// Opens the socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the directory cannot hold a socket.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SOCKET_NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_open, short) = short(directory)?;
        let listener = UnixListener::bind(short)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: tokio::net::UnixListener::from_std(listener)?,
            path,
        })
    }

    /// Completes when a new daemon wants to take over.
    ///
    /// # Errors
    /// If the socket fails.
    pub async fn asked(&self) -> io::Result<TakeoverConnection> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let stream = stream.into_std()?;
            let greeted = tokio::task::spawn_blocking(move || {
                stream.set_nonblocking(false)?;
                let patience = Some(Duration::from_secs(2));
                stream.set_read_timeout(patience)?;
                stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
                let mut asked = TakeoverConnection { stream };
                match asked.receive()? {
                    (Message::TakeOver { version, .. }, _) if version == VERSION => Ok(asked),
                    (Message::TakeOver { tool, .. }, _) => {
                        let why = format!(
                            "dormouse {} runs here and cannot hand its sockets to dormouse {tool}; stop it \
                             first",
                            env!("CARGO_PKG_VERSION")
                        );
                        asked.send(&Message::Refused(why), &[])?;
                        Err(Error::other("another version"))
                    }
                    _ => Err(Error::other("something else was said")),
                }
            });
            match greeted.await {
                Ok(Ok(asked)) => return Ok(asked),
                Ok(Err(error)) => log::warn!("somebody wanted to take over, and did not: {error}"),
                Err(error) => log::warn!("somebody wanted to take over: {error}"),
            }
        }
    }
}

impl Drop for TakeoverListener {
    fn drop(&mut self) {
        // Where this fails, the next daemon removes the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// The connection between an old daemon and the new one, at either end.
#[derive(Debug)]
pub struct TakeoverConnection {
    stream: UnixStream,
}

impl TakeoverConnection {
    /// Sends all sockets, and waits until they have arrived. Blocks. The new daemon continues when
    /// the connection is dropped.
    ///
    /// # Errors
    /// If the other side has gone.
    pub fn give(mut self, sockets: HandedOverSockets) -> io::Result<Self> {
        for (name, socket) in sockets.listeners {
            self.send(&Message::Listener(name), &[Arc::new(socket)])?;
        }
        for kept in sockets.kept {
            let (data, descriptors) = kept.into_parts().map_err(Error::other)?;
            let last = descriptors.len().saturating_sub(1) / MOST_DESCRIPTORS_AT_ONCE
                * MOST_DESCRIPTORS_AT_ONCE;
            for some in descriptors[..last].chunks(MOST_DESCRIPTORS_AT_ONCE) {
                self.send(&Message::More, some)?;
            }
            self.send(&Message::Task(data.into()), &descriptors[last..])?;
        }
        self.send(&Message::End, &[])?;
        self.stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        match self.receive()? {
            (Message::Got, _) => Ok(self),
            _ => Err(Error::other("something else was said")),
        }
    }

    fn send(&mut self, message: &Message, sockets: &[Arc<OwnedFd>]) -> io::Result<()> {
        let (length, bytes) = frame::encode(message)?;
        let sockets: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS_AT_ONCE))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(Error::other("too many descriptors for one message"));
        }
        let (head, flags) = ([IoSlice::new(&length)], SendFlags::NOSIGNAL);
        let sent = sendmsg(&self.stream, &head, &mut ancillary, flags)?;
        self.stream.write_all(&length[sent..])?;
        self.stream.write_all(&bytes)
    }

    fn receive(&mut self) -> io::Result<(Message, Vec<OwnedFd>)> {
        let mut length = [0; 4];
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS_AT_ONCE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = {
            let mut head = [IoSliceMut::new(&mut length)];
            recvmsg(&self.stream, &mut head, &mut ancillary, flags)?.bytes
        };
        if got == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
        self.stream.read_exact(&mut length[got..])?;
        let mut bytes = vec![0; frame::length(length, LARGEST_MESSAGE_BYTES)?];
        self.stream.read_exact(&mut bytes)?;
        Ok((frame::decode(&bytes)?, descriptors))
    }
}

/// Takes all sockets from the daemon that has a directory; `None` where no daemon has it. When this
/// returns, that daemon has ended. `patience` is how long it may take to put its tasks to sleep.
/// Blocks.
///
/// # Errors
/// If it refuses, or ends in between.
pub fn take(directory: &Path, patience: Duration) -> io::Result<Option<HandedOverSockets>> {
    let (_open, short) = short(directory)?;
    let stream = match UnixStream::connect(short) {
        Ok(stream) => stream,
        // There is no daemon, or only the file that one has left.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut old = TakeoverConnection { stream };
    let version = VERSION;
    let tool = env!("CARGO_PKG_VERSION").into();
    old.send(&Message::TakeOver { version, tool }, &[])?;
    old.stream
        .set_read_timeout(Some(patience + ANSWER_TIMEOUT))?;
    let mut sockets = HandedOverSockets::default();
    let mut more = Vec::new();
    loop {
        let (message, descriptors) = old.receive()?;
        more.extend(descriptors);
        match message {
            Message::Listener(name) => {
                let socket = more.pop();
                let none = || Error::other("a listener came without its socket");
                sockets.listeners.push((name, socket.ok_or_else(none)?));
            }
            Message::More => {}
            Message::Task(data) => {
                let kept = TaskSockets::from_parts(&data, std::mem::take(&mut more));
                sockets.kept.push(kept.map_err(Error::other)?);
            }
            Message::End => break,
            Message::Refused(why) => return Err(Error::other(why)),
            Message::TakeOver { .. } | Message::Got => {
                return Err(Error::other("something else was said"));
            }
        }
    }
    old.send(&Message::Got, &[])?;
    // The old daemon ends, and the system closes its end.
    match old.stream.read(&mut [0]) {
        Ok(_) => Ok(Some(sockets)),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(sockets)),
        Err(error) => Err(error),
    }
}

/// A path to the socket that is short enough. The system allows 107 bytes, so that the path leads
/// through the open directory, which must stay open.
fn short(directory: &Path) -> io::Result<(fs::File, PathBuf)> {
    let open = fs::File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{SOCKET_NAME}", open.as_raw_fd());
    Ok((open, path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_descriptors_come_through() {
        let (left, right) = UnixStream::pair().expect("a pair");
        let count = 450;
        let giving = std::thread::spawn(move || {
            let socket = || {
                let listener = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
                ("127.0.0.1:0".to_string(), Arc::new(OwnedFd::from(listener)))
            };
            let kept = TaskSockets {
                id: crate::model::TaskId(3),
                listeners: std::iter::repeat_with(socket).take(count).collect(),
                asleep: None,
                ends: crate::model::When::NEVER,
            };
            let sockets = HandedOverSockets {
                listeners: Vec::new(),
                kept: vec![kept],
            };
            TakeoverConnection { stream: left }.give(sockets)
        });
        let mut new = TakeoverConnection { stream: right };
        let mut all = Vec::new();
        loop {
            let (message, descriptors) = new.receive().expect("it comes");
            all.extend(descriptors);
            match message {
                Message::Task(data) => {
                    let kept =
                        TaskSockets::from_parts(&data, std::mem::take(&mut all)).expect("whole");
                    assert_eq!(kept.listeners.len(), count);
                }
                Message::End => break,
                _ => {}
            }
        }
        new.send(&Message::Got, &[]).expect("it is sent");
        giving.join().expect("it ends").expect("it is given");
    }
}
