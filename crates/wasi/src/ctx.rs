//! One guest's WASI state, and the way of a call to its function.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::OFlags;

use super::abi::{Memory, Result, arg};
use super::caps::Caps;
use super::clock::{self, GuestClock};
use super::errno::Errno;
use super::fd::{Descriptor, DirFd, Kind, Table};
use super::pipe::{Opening, is_for_a_reader};
use super::random::Random;
use super::sock::{Grants, SocketFd};
use super::streams::{Bindings, HostDir, Stream, Streams, readiness};
use super::tmpfs::{self, TmpDir};
use super::{Error, Function, dir, file, path, rights};
use crate::model::clock::Clock;
use crate::model::{ClockId, Deadline, Ends, FdInterest, Interest, Limit, Wait, check_environment};

/// What a guest is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Arguments; the first is by custom the program's name.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Directories in memory, which only this guest sees and its snapshots carry along.
    pub tmpfs: Vec<TmpDir>,
}

/// What a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; the guest gets this number.
    Done(Errno),
    /// It cannot be done yet. The same call is to be made again when the wait is over.
    Block(Wait),
    /// The guest ends.
    Exit(u32),
}

/// A host descriptor that a wait depends on.
#[derive(Debug)]
pub struct Source<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// What it should become ready for.
    pub interest: Interest,
}

/// A directory given by the host.
pub(super) struct Preopen {
    pub(super) guest: String,
    pub(super) dir: Dir,
    /// The guest may not write there.
    pub(super) read_only: bool,
    /// Its path without symbolic links, to find open files by where the system does not tell it.
    pub(super) root: PathBuf,
}

/// One guest's WASI state.
pub struct Ctx {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) streams: Streams,
    pub(super) preopens: Vec<Preopen>,
    pub(super) listeners: Vec<SocketFd>,
    pub(super) grants: Grants,
    pub(super) tmpfs: Vec<tmpfs::Shared>,
    pub(super) table: Table,
    pub(super) caps: Caps,
    pub(super) clock: GuestClock,
    pub(super) random: Random,
    /// The deadlines of the poll that has blocked, by subscription.
    pub(super) poll: Option<Vec<Option<Deadline>>>,
    /// The named pipe that the open that has blocked is for.
    pub(super) opening: Option<Opening>,
    /// How many bytes the receive that has blocked has got already.
    pub(super) received: u32,
}

impl Ctx {
    /// The state of a guest that has not run yet.
    ///
    /// # Errors
    /// Where a directory cannot be opened, or the guest cannot be given its arguments or environment.
    pub fn new(
        config: Config,
        bindings: Bindings,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, Error> {
        check_environment(&config.args, &config.env)?;
        let tmpfs = config.tmpfs.clone();
        let most = bindings.limits.value(Limit::Tmpfs);
        if let Some(size) = tmpfs.iter().map(|dir| dir.limit).find(|size| *size > most) {
            let reached = bindings.limits.reached(Limit::Tmpfs);
            return Err(Error::Limit(reached.with(size)));
        }
        let mut clock = GuestClock::new(clock);
        clock.begin_own_time(bindings.clocks);
        let mut ctx = Self::bare(config, bindings, clock)?;
        let streams = [Stream::Stdin, Stream::Stdout, Stream::Stderr];
        for (fd, stream) in (0..).zip(streams) {
            // The table is empty, so that the number is free.
            let _ = ctx.table.insert_at(fd, Descriptor::stream(stream));
        }
        for listener in &ctx.listeners {
            if ctx.table.insert(listener.clone().descriptor(0)).is_err() {
                return Err(Error::Malformed(
                    "it has more listeners than a guest can have",
                ));
            }
        }
        for preopen in &ctx.preopens {
            let descriptor = preopen.descriptor()?;
            if ctx.table.insert(descriptor).is_err() {
                return Err(Error::Malformed(
                    "it has more directories than a guest can have",
                ));
            }
        }
        let now = ctx.clock.told(ClockId::Realtime);
        for (number, dir) in (0..).zip(tmpfs) {
            let made = tmpfs::Shared::new(number, dir, now);
            if ctx.table.insert(Descriptor::memory(made.root())).is_err() {
                return Err(Error::Malformed(
                    "it has more directories than a guest can have",
                ));
            }
            ctx.tmpfs.push(made);
        }
        Ok(ctx)
    }

    /// A state without open descriptors.
    pub(super) fn bare(
        config: Config,
        bindings: Bindings,
        clock: GuestClock,
    ) -> std::result::Result<Self, Error> {
        let preopens = bindings
            .dirs
            .into_iter()
            .map(Preopen::open)
            .collect::<std::result::Result<_, _>>()?;
        let listeners = bindings
            .listeners
            .into_iter()
            .map(SocketFd::given)
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            args: config.args,
            env: config.env,
            streams: Streams::new(bindings.stdin, bindings.stdout, bindings.stderr),
            preopens,
            listeners,
            grants: bindings.grants,
            tmpfs: Vec::new(),
            table: Table::new(bindings.limits.value(Limit::Files)),
            caps: Caps::new(bindings.limits, clock.age()),
            clock,
            random: Random::new(bindings.random),
            poll: None,
            opening: None,
            received: 0,
        })
    }

    /// Makes a call. `arguments` are raw bits; `woken` is the wait that this very call gave when it
    /// blocked before, so that a relative deadline does not start again.
    pub fn call(
        &mut self,
        function: Function,
        arguments: &[u64],
        memory: &mut [u8],
        woken: Option<&Wait>,
    ) -> Outcome {
        let (outcome, in_memory) = self.answer(function, arguments, memory, woken);
        match outcome {
            Outcome::Done(Errno::Mfile) => self.caps.refuse(Limit::Files),
            Outcome::Done(Errno::Nospc) if in_memory => {
                let dir = self.tmpfs.iter().map(tmpfs::Shared::fullest);
                let (_, limit) = dir.min().unwrap_or_default();
                self.caps.refuse_at(Limit::Tmpfs, limit);
            }
            Outcome::Done(Errno::Success) if function.takes() => self.caps.granted(),
            _ => {}
        }
        outcome
    }

    /// The call's outcome, and whether it was one on something in memory.
    fn answer(
        &mut self,
        function: Function,
        arguments: &[u64],
        memory: &mut [u8],
        woken: Option<&Wait>,
    ) -> (Outcome, bool) {
        let memory = &mut Memory(memory);
        match self.in_memory(function, arguments, memory) {
            Some(result) => (Outcome::Done(result.err().unwrap_or(Errno::Success)), true),
            None => (self.on_host(function, arguments, memory, woken), false),
        }
    }

    fn on_host(
        &mut self,
        function: Function,
        arguments: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Outcome {
        let result = match function {
            Function::ProcExit => return Outcome::Exit(arg(arguments, 0)),
            Function::ProcRaise => return proc_raise(arg(arguments, 0)),
            Function::SchedYield => {
                return match woken {
                    Some(_) => Outcome::Done(Errno::Success),
                    None => Outcome::Block(Wait::Yield),
                };
            }
            function if function.may_block(true) => {
                match self.blocking(function, arguments, memory, woken) {
                    Ok(Some(wait)) => return Outcome::Block(wait),
                    Ok(None) => Ok(()),
                    Err(errno) => Err(errno),
                }
            }
            function => self.simple(function, arguments, memory),
        };
        Outcome::Done(result.err().unwrap_or(Errno::Success))
    }

    /// The calls that may block.
    fn blocking(
        &mut self,
        function: Function,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Result<Option<Wait>> {
        match function {
            Function::PollOneoff | Function::EpollOneoff => {
                self.poll_oneoff(a, memory, woken.is_some())
            }
            Function::FdRead => self.fd_read(a, memory, woken),
            Function::PathOpen => self.path_open(a, memory, woken),
            Function::FdWrite => self.fd_write(a, memory, woken),
            Function::SockAccept => self.sock_accept(a, true, memory, woken),
            Function::SockAcceptV1 => self.sock_accept(a, false, memory, woken),
            Function::SockConnect => self.sock_connect(a, memory, woken),
            Function::SockRecv => self.sock_recv(a, memory, woken),
            Function::SockRecvFrom => self.sock_recv_from(a, true, memory, woken),
            Function::SockRecvFromV1 => self.sock_recv_from(a, false, memory, woken),
            Function::SockSend => self.sock_send(a, memory, woken),
            Function::SockSendTo => self.sock_send_to(a, memory, woken),
            _ => Err(Errno::Nosys),
        }
    }

    /// The calls that never block.
    fn simple(&mut self, function: Function, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
        let variables = || {
            self.env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
        };
        match function {
            Function::ArgsSizesGet => list_sizes(self.args.iter().cloned(), a, memory),
            Function::ArgsGet => list(self.args.iter().cloned(), a, memory),
            Function::EnvironSizesGet => list_sizes(variables(), a, memory),
            Function::EnvironGet => list(variables(), a, memory),
            Function::ClockResGet => clock::clock_res_get(&self.clock, a, memory),
            Function::ClockTimeGet => clock::clock_time_get(&mut self.clock, a, memory),
            Function::RandomGet => {
                let buffer = memory.bytes_mut(arg(a, 0), arg(a, 1))?;
                self.random.fill(buffer)
            }
            Function::FdClose => self.table.close(arg(a, 0)),
            Function::FdRenumber => self.table.renumber(arg(a, 0), arg(a, 1)),
            Function::FdPrestatGet => dir::prestat_get(&self.table, a, memory),
            Function::FdPrestatDirName => dir::prestat_dir_name(&self.table, a, memory),
            Function::FdReaddir => dir::readdir(&mut self.table, a, memory),
            Function::SockShutdown => self.sock_shutdown(a),
            Function::SockOpen => self.sock_open(a, memory),
            Function::SockBind => self.sock_bind(a, memory),
            Function::SockListen => self.sock_listen(a),
            Function::SockGetlocaladdr => self.sock_getlocaladdr(a, false, memory),
            Function::SockGetlocaladdrV1 => self.sock_getlocaladdr(a, true, memory),
            Function::SockGetpeeraddr => self.sock_getpeeraddr(a, false, memory),
            Function::SockGetpeeraddrV1 => self.sock_getpeeraddr(a, true, memory),
            Function::SockGetsockopt => self.sock_getsockopt(a, memory),
            Function::SockSetsockopt => self.sock_setsockopt(a, memory),
            Function::SockGetaddrinfo => self.sock_getaddrinfo(a, memory),
            function if function.name().starts_with("path_") => {
                path::call(&mut self.table, function, a, memory)
            }
            function => file::call(self, function, a, memory),
        }
    }

    /// How long it is until the wait's first deadline; zero once it has passed, `None` where it has none.
    pub fn remaining(&self, wait: &Wait) -> Option<Duration> {
        let left = self.deadlines(wait).map(|d| self.clock.until(d));
        left.min().map(Duration::from_nanos)
    }

    /// When the wait ends by its first deadline, in nanoseconds since the Unix epoch.
    pub fn wakes_at(&self, wait: &Wait) -> Option<u64> {
        self.deadlines(wait).map(|d| self.clock.on_wall(d)).min()
    }

    /// When the wait ends, by each of the two clocks.
    pub fn ends(&self, wait: &Wait) -> Ends {
        clock::ends(&self.clock, self.deadlines(wait))
    }

    fn deadlines(&self, wait: &Wait) -> impl Iterator<Item = Deadline> + Clone {
        clock::deadlines(wait, self.poll.as_deref())
    }

    /// The host's descriptors that end the wait.
    pub fn sources(&self, wait: &Wait) -> Vec<Source<'_>> {
        interests(wait)
            .iter()
            .filter_map(|wanted| {
                Some(Source {
                    fd: self.waitable(wanted.fd)?,
                    interest: wanted.interest,
                })
            })
            .collect()
    }

    /// Whether the wait is over, as far as can be told without waiting.
    pub fn is_ready(&self, wait: &Wait) -> bool {
        match wait {
            Wait::Yield => true,
            Wait::Host { .. } => false,
            wait if is_for_a_reader(wait) => self.reader_is_there(),
            Wait::Poll { .. } => {
                self.remaining(wait).is_some_and(|left| left.is_zero())
                    || interests(wait)
                        .iter()
                        .any(|wanted| readiness(self.waitable(wanted.fd), wanted.interest).0)
            }
        }
    }

    /// The host's descriptor that tells whether one of the guest's is ready; there is none for what
    /// never makes anybody wait.
    pub(super) fn waitable(&self, fd: u32) -> Option<BorrowedFd<'_>> {
        match &self.table.get(fd).ok()?.kind {
            Kind::Stream(stream) => self.streams.fd(*stream),
            Kind::File(open) => open.waits.then(|| open.file.as_fd()),
            Kind::Dir(_) | Kind::Memory(_) => None,
            Kind::Socket(socket) => socket.fd(),
        }
    }
}

impl Preopen {
    fn open(dir: HostDir) -> std::result::Result<Self, Error> {
        let failed = |source| Error::OpenDir {
            path: dir.host.clone(),
            source,
        };
        Ok(Self {
            root: dir.host.canonicalize().map_err(failed)?,
            // A directory that cannot be listed can still be used by those who know its files.
            dir: open_listable(&dir.host)
                .or_else(|_| Dir::open_ambient_dir(&dir.host, ambient_authority()))
                .map_err(failed)?,
            read_only: dir.access.is_read_only(false),
            guest: dir.guest,
        })
    }

    /// The descriptor that a guest finds it by.
    pub(super) fn descriptor(&self) -> std::result::Result<Descriptor, Error> {
        let dir = self.dir.try_clone().map_err(|source| Error::Io {
            what: "open a directory for the guest once more",
            source,
        })?;
        Ok(Descriptor {
            kind: Kind::Dir(DirFd {
                dir,
                preopen: self.guest.clone(),
                path: ".".into(),
                is_preopen: true,
                read_only: self.read_only,
                listing: None,
            }),
            rights: rights::as_allowed(rights::DIRECTORY, self.read_only),
            inheriting: rights::ALL,
            given_up: 0,
            flags: 0,
        })
    }
}

/// Opens a directory of the host's so that it can be flushed and given times, too.
fn open_listable(path: &Path) -> std::io::Result<Dir> {
    let flags = OFlags::DIRECTORY.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    Ok(Dir::from_std_file(file))
}

fn interests(wait: &Wait) -> &[FdInterest] {
    match wait {
        Wait::Poll { fds, .. } => fds,
        Wait::Yield | Wait::Host { .. } => &[],
    }
}

/// `args_sizes_get` and `environ_sizes_get`: how many, and how many bytes with their zero bytes.
fn list_sizes(
    items: impl Iterator<Item = String>,
    a: &[u64],
    memory: &mut Memory<'_>,
) -> Result<()> {
    let (count, bytes) = items.fold((0u32, 0usize), |(count, bytes), item| {
        (count + 1, bytes + item.len() + 1)
    });
    memory.write_u32(arg(a, 0), count)?;
    memory.write_u32(
        arg(a, 1),
        u32::try_from(bytes).map_err(|_| Errno::Overflow)?,
    )
}

/// `args_get` and `environ_get`: pointers, and the strings they point to.
fn list(items: impl Iterator<Item = String>, a: &[u64], memory: &mut Memory<'_>) -> Result<()> {
    let (mut pointer, mut text) = (arg(a, 0), arg(a, 1));
    for mut item in items {
        item.push('\0');
        memory.write_u32(pointer, text)?;
        memory.write(text, item.as_bytes())?;
        pointer = pointer.checked_add(4).ok_or(Errno::Fault)?;
        // The write has shown that the text ends inside memory.
        text = text.checked_add(item.len() as u32).ok_or(Errno::Fault)?;
    }
    Ok(())
}

/// Signals that do nothing by default are ignored; any other ends the guest as a shell shows it.
fn proc_raise(signal: u32) -> Outcome {
    const IGNORED: [u32; 5] = [0, 16, 17, 22, 27];
    match signal {
        signal if IGNORED.contains(&signal) => Outcome::Done(Errno::Success),
        1..=30 => Outcome::Exit(128 + signal),
        _ => Outcome::Done(Errno::Inval),
    }
}
