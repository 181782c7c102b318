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
//! Who connects in the meantime waits in the kernel's queue, and what arrives waits in the sockets. The socket on
//! which this is asked lies in the daemon's directory, which is its user's alone.

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

use crate::Kept;

/// What is spoken here. Both sides must speak the same.
const VERSION: u32 = 1;

/// Where it is asked, in the daemon's directory.
const NAME: &str = "takeover";

/// The kernel passes at most 253 descriptors with one message.
const AT_ONCE: usize = 200;

/// The largest message.
const LARGEST: u32 = 16 << 20;

/// Both are on this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// The new one wants everything.
    TakeOver { version: u32, tool: String },
    /// No.
    Refused(String),
    /// A listener of the daemon's own, by its name; its descriptor comes along.
    Listener(String),
    /// More descriptors of the task that follows.
    More,
    /// A task's sockets; the last of its descriptors come along.
    Kept(serde_bytes::ByteBuf),
    /// That was all.
    End,
    /// All has come.
    Got,
}

/// Everything that goes from one daemon to the next.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The daemon's own listeners, by name.
    pub listeners: Vec<(String, OwnedFd)>,
    /// The tasks'.
    pub kept: Vec<Kept>,
}

impl Sockets {
    /// Takes a listener out.
    pub fn listener(&mut self, name: &str) -> Option<OwnedFd> {
        let place = self.listeners.iter().position(|(known, _)| known == name)?;
        Some(self.listeners.swap_remove(place).1)
    }

    /// The tasks' sockets, for `Daemon::start_with`.
    pub fn take_kept(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.kept)
    }
}

/// Where a daemon is asked to hand over.
#[derive(Debug)]
pub struct Door {
    listener: tokio::net::UnixListener,
    path: PathBuf,
}

impl Door {
    /// Opens it. Within a tokio runtime.
    ///
    /// # Errors
    /// Where the directory cannot hold a socket.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
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
    /// Where the socket fails.
    pub async fn asked(&self) -> io::Result<Asked> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let stream = stream.into_std()?;
            let greeted = tokio::task::spawn_blocking(move || {
                stream.set_nonblocking(false)?;
                let patience = Some(Duration::from_secs(2));
                stream.set_read_timeout(patience)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                let mut asked = Asked { stream };
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

impl Drop for Door {
    fn drop(&mut self) {
        // The next daemon removes it, where this one cannot.
        let _ = fs::remove_file(&self.path);
    }
}

/// A new daemon that waits for everything, or an old one that gives it.
#[derive(Debug)]
pub struct Asked {
    stream: UnixStream,
}

impl Asked {
    /// Gives everything, and waits until it has come. Blocks. The other side goes on when this is dropped.
    ///
    /// # Errors
    /// Where the other side has gone.
    pub fn give(mut self, sockets: Sockets) -> io::Result<Self> {
        for (name, socket) in sockets.listeners {
            self.send(&Message::Listener(name), &[Arc::new(socket)])?;
        }
        for kept in sockets.kept {
            let (data, descriptors) = kept.into_parts().map_err(Error::other)?;
            let last = descriptors.len().saturating_sub(1) / AT_ONCE * AT_ONCE;
            for some in descriptors[..last].chunks(AT_ONCE) {
                self.send(&Message::More, some)?;
            }
            self.send(&Message::Kept(data.into()), &descriptors[last..])?;
        }
        self.send(&Message::End, &[])?;
        self.stream.set_read_timeout(Some(PATIENCE))?;
        match self.receive()? {
            (Message::Got, _) => Ok(self),
            _ => Err(Error::other("something else was said")),
        }
    }

    fn send(&mut self, message: &Message, sockets: &[Arc<OwnedFd>]) -> io::Result<()> {
        let bytes = rmp_serde::to_vec_named(message).map_err(Error::other)?;
        let length = u32::try_from(bytes.len())
            .map_err(Error::other)?
            .to_le_bytes();
        let sockets: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
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
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
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
        let length = u32::from_le_bytes(length);
        if length > LARGEST {
            return Err(Error::new(ErrorKind::InvalidData, "a message is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes)?;
        let message = rmp_serde::from_slice(&bytes)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        Ok((message, descriptors))
    }
}

/// Takes everything from the daemon that has a directory; nothing where none has it. When this returns, that
/// daemon has ended. `patience` is how long it may take to put its tasks to sleep. Blocks.
///
/// # Errors
/// Where it refuses, or ends in between.
pub fn take(directory: &Path, patience: Duration) -> io::Result<Option<Sockets>> {
    let (_open, short) = short(directory)?;
    let stream = match UnixStream::connect(short) {
        Ok(stream) => stream,
        // Nobody is there, or only what somebody has left behind.
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
    let mut old = Asked { stream };
    let version = VERSION;
    let tool = env!("CARGO_PKG_VERSION").into();
    old.send(&Message::TakeOver { version, tool }, &[])?;
    old.stream.set_read_timeout(Some(patience + PATIENCE))?;
    let mut sockets = Sockets::default();
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
            Message::Kept(data) => {
                let kept = Kept::from_parts(&data, std::mem::take(&mut more));
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
    // It ends, and the system closes its side.
    match old.stream.read(&mut [0]) {
        Ok(_) => Ok(Some(sockets)),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(sockets)),
        Err(error) => Err(error),
    }
}

/// The path of a socket may have 107 bytes: a longer one is reached through its directory, while that is open.
fn short(directory: &Path) -> io::Result<(fs::File, PathBuf)> {
    let open = fs::File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd());
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
            let kept = Kept {
                id: crate::model::TaskId(3),
                listeners: std::iter::repeat_with(socket).take(count).collect(),
                asleep: None,
                ends: crate::model::When::NEVER,
            };
            let sockets = Sockets {
                listeners: Vec::new(),
                kept: vec![kept],
            };
            Asked { stream: left }.give(sockets)
        });
        let mut new = Asked { stream: right };
        let mut all = Vec::new();
        loop {
            let (message, descriptors) = new.receive().expect("it comes");
            all.extend(descriptors);
            match message {
                Message::Kept(data) => {
                    let kept = Kept::from_parts(&data, std::mem::take(&mut all)).expect("whole");
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
