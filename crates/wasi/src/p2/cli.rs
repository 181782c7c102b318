//! `wasi:cli`: arguments and environment, the end of the program, the standard streams, and whether
//! they are terminals.

use super::abi::Own;
use super::call::Call;
use super::resource::{InputStream, OutputStream, TerminalInput, TerminalOutput};
use super::stop::{Called, Stop};
use crate::stdio::Stream;

pub(crate) fn get_environment(call: &mut Call<'_>, (): ()) -> Called<Vec<(String, String)>> {
    Ok(call.ctx.resources.env.clone())
}

pub(crate) fn get_arguments(call: &mut Call<'_>, (): ()) -> Called<Vec<String>> {
    Ok(call.ctx.resources.args.clone())
}

/// A guest begins in no directory. As in Wasmtime, its libraries take the one that they are given.
pub(crate) fn initial_cwd(_: &mut Call<'_>, (): ()) -> Called<Option<String>> {
    Ok(None)
}

pub(crate) fn exit(_: &mut Call<'_>, (status,): (Result<(), ()>,)) -> Called<()> {
    Err(Stop::Exit(status.is_err().into()))
}

pub(crate) fn exit_with_code(_: &mut Call<'_>, (code,): (u8,)) -> Called<()> {
    Err(Stop::Exit(code.into()))
}

pub(crate) fn get_stdin(call: &mut Call<'_>, (): ()) -> Called<Own<InputStream>> {
    let resources = &mut call.component().resources;
    resources.push(InputStream::Stdin).map(Own::new)
}

pub(crate) fn get_stdout(call: &mut Call<'_>, (): ()) -> Called<Own<OutputStream>> {
    let resources = &mut call.component().resources;
    resources.push(OutputStream::Stdout).map(Own::new)
}

pub(crate) fn get_stderr(call: &mut Call<'_>, (): ()) -> Called<Own<OutputStream>> {
    let resources = &mut call.component().resources;
    resources.push(OutputStream::Stderr).map(Own::new)
}

pub(crate) fn get_terminal_stdin(
    call: &mut Call<'_>,
    (): (),
) -> Called<Option<Own<TerminalInput>>> {
    if !is_terminal(call, Stream::Stdin) {
        return Ok(None);
    }
    let terminal = call.component().resources.push(TerminalInput)?;
    Ok(Some(Own::new(terminal)))
}

pub(crate) fn get_terminal_stdout(
    call: &mut Call<'_>,
    (): (),
) -> Called<Option<Own<TerminalOutput>>> {
    terminal_output(call, Stream::Stdout)
}

pub(crate) fn get_terminal_stderr(
    call: &mut Call<'_>,
    (): (),
) -> Called<Option<Own<TerminalOutput>>> {
    terminal_output(call, Stream::Stderr)
}

fn terminal_output(call: &mut Call<'_>, stream: Stream) -> Called<Option<Own<TerminalOutput>>> {
    if !is_terminal(call, stream) {
        return Ok(None);
    }
    let terminal = call.component().resources.push(TerminalOutput)?;
    Ok(Some(Own::new(terminal)))
}

fn is_terminal(call: &Call<'_>, stream: Stream) -> bool {
    let fd = call.ctx.resources.streams.fd(stream);
    fd.is_some_and(rustix::termios::isatty)
}
