//! From a call to the function that answers it.

use dormouse_model::{Limit, Wait};

use super::errno::Errno;
use super::function::Function;
use super::memory::{Memory, Result, arg};
use super::outcome::Outcome;
use super::sock::Form;
use super::{clock, fd, open, path, process, read_write, readdir, sock, tmpfs};
use crate::guest::Ctx;
use crate::guest::table::Kind;

impl Ctx {
    /// Makes a call. `arguments` are raw bits; `woken` is the wait that this very call gave when it
    /// blocked before, so that a relative deadline does not start again.
    pub fn call(
        &mut self,
        function: Function,
        arguments: &[u64],
        memory: &mut [u8],
        woken: Option<&Wait>,
    ) -> Outcome {
        let memory = &mut Memory(memory);
        let in_memory = tmpfs::call(self, function, arguments, memory);
        let is_in_memory = in_memory.is_some();
        let outcome = match in_memory {
            Some(result) => done(result),
            None => self.call_on_host(function, arguments, memory, woken),
        };
        match outcome {
            Outcome::Done(Errno::Mfile) => self.resources.quota.refuse(Limit::Files),
            Outcome::Done(Errno::Nospc) if is_in_memory => self.refuse_tmpfs(),
            Outcome::Done(Errno::Success) if function.takes_resources() => {
                self.resources.quota.grant();
            }
            _ => {}
        }
        outcome
    }

    /// Whether a call may act on what is outside of the guest's own state, or look at it. What is
    /// written to a standard stream stays with its owner until that stores it.
    pub fn reaches_outside(&self, function: Function, arguments: &[u64]) -> bool {
        let writes = matches!(function, Function::FdWrite | Function::FdPwrite);
        let descriptor = self.table.get(arg(arguments, 0)).ok();
        let stream = descriptor.is_some_and(|found| matches!(found.kind, Kind::Stream(_)));
        function.reaches_outside() && !(writes && stream)
    }

    fn call_on_host(
        &mut self,
        function: Function,
        a: &[u64],
        memory: &mut Memory<'_>,
        woken: Option<&Wait>,
    ) -> Outcome {
        match function {
            Function::ProcExit => Outcome::Exit(arg(a, 0)),
            Function::ProcRaise => process::proc_raise(arg(a, 0)),
            Function::SchedYield => match woken {
                Some(_) => Outcome::Done(Errno::Success),
                None => Outcome::Block(Wait::Yield),
            },
            function if function.may_block(true) => {
                match self.call_that_may_block(function, a, memory, woken) {
                    Ok(Some(wait)) => Outcome::Block(wait),
                    result => done(result.map(drop)),
                }
            }
            function => done(self.call_that_never_blocks(function, a, memory)),
        }
    }

    fn call_that_may_block(
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
            Function::FdRead => read_write::fd_read(self, a, memory, woken),
            Function::FdWrite => read_write::fd_write(self, a, memory, woken),
            Function::PathOpen => open::path_open(self, a, memory, woken),
            Function::SockAccept => sock::sock_accept(self, a, Form::Second, memory, woken),
            Function::SockAcceptV1 => sock::sock_accept(self, a, Form::First, memory, woken),
            Function::SockConnect => sock::sock_connect(self, a, memory, woken),
            Function::SockRecv => sock::sock_recv(self, a, memory, woken),
            Function::SockRecvFrom => sock::sock_recv_from(self, a, Form::Second, memory, woken),
            Function::SockRecvFromV1 => sock::sock_recv_from(self, a, Form::First, memory, woken),
            Function::SockSend => sock::sock_send(self, a, memory, woken),
            Function::SockSendTo => sock::sock_send_to(self, a, memory, woken),
            _ => Err(Errno::Nosys),
        }
    }

    fn call_that_never_blocks(
        &mut self,
        function: Function,
        a: &[u64],
        memory: &mut Memory<'_>,
    ) -> Result<()> {
        let (resources, table) = (&mut self.resources, &mut self.table);
        let args = || resources.args.iter().cloned();
        match function {
            Function::ArgsSizesGet => process::sizes_get(args(), a, memory),
            Function::ArgsGet => process::texts_get(args(), a, memory),
            Function::EnvironSizesGet => process::sizes_get(resources.variables(), a, memory),
            Function::EnvironGet => process::texts_get(resources.variables(), a, memory),
            Function::ClockResGet => clock::clock_res_get(&resources.clock, a, memory),
            Function::ClockTimeGet => clock::clock_time_get(&mut resources.clock, a, memory),
            Function::RandomGet => {
                let buffer = memory.bytes_mut(arg(a, 0), arg(a, 1))?;
                Ok(resources.random.fill(buffer)?)
            }
            Function::FdClose => table.close(arg(a, 0)),
            Function::FdRenumber => table.renumber(arg(a, 0), arg(a, 1)),
            Function::FdPrestatGet => readdir::fd_prestat_get(table, a, memory),
            Function::FdPrestatDirName => readdir::fd_prestat_dir_name(table, a, memory),
            Function::FdReaddir => readdir::fd_readdir(table, a, memory),
            Function::SockShutdown => sock::sock_shutdown(self, a),
            Function::SockOpen => sock::sock_open(self, a, memory),
            Function::SockBind => sock::sock_bind(self, a, memory),
            Function::SockListen => sock::sock_listen(self, a),
            Function::SockGetlocaladdr => sock::sock_getlocaladdr(self, a, Form::Second, memory),
            Function::SockGetlocaladdrV1 => sock::sock_getlocaladdr(self, a, Form::First, memory),
            Function::SockGetpeeraddr => sock::sock_getpeeraddr(self, a, Form::Second, memory),
            Function::SockGetpeeraddrV1 => sock::sock_getpeeraddr(self, a, Form::First, memory),
            Function::SockGetsockopt => sock::sock_getsockopt(self, a, memory),
            Function::SockSetsockopt => sock::sock_setsockopt(self, a, memory),
            Function::SockGetaddrinfo => sock::sock_getaddrinfo(self, a, memory),
            function if function.is_path_call() => path::call(table, function, a, memory),
            function => fd::call(self, function, a, memory),
        }
    }
}

fn done(result: Result<()>) -> Outcome {
    Outcome::Done(result.err().unwrap_or(Errno::Success))
}
