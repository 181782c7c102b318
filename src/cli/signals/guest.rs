//! The signals while a guest runs: most of them suspend it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::hangup::Hangup;
use crate::cli::exit::{Failure, INTERNAL};

/// What a signal asks for.
pub(crate) enum Request {
    /// End at once, without a snapshot.
    Interrupt,
    /// Write a snapshot and end.
    Suspend,
}

/// The signals that are listened to.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// SIGTSTP: Ctrl-Z in a terminal.
    stop: Signal,
    hangup: Hangup,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(INTERNAL, format!("cannot listen to signals: {error}"))
        };
        let listen = |kind| signal(kind).map_err(failed);
        // Writing a file that gets larger than the user may have one ends the process otherwise;
        // with a handler, the write fails. The handler stays when this value goes.
        drop(listen(SignalKind::from_raw(
            rustix::process::Signal::XFSZ.as_raw(),
        ))?);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            // tokio has no name for it.
            stop: listen(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            hangup: Hangup::listen().map_err(failed)?,
        })
    }

    /// What the next signal asks for.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::Interrupt,
            _ = self.terminate.recv() => Request::Suspend,
            _ = self.stop.recv() => Request::Suspend,
            () = self.hangup.received() => Request::Suspend,
        }
    }
}
