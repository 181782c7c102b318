//! Signals while a module is prepared (rewritten and compiled), which may take minutes. The guest
//! has not started, so that there is nothing to suspend: the process ends at once, and leaves no
//! unfinished file and no child process behind.

use std::io::IsTerminal;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::hangup::Hangup;
use crate::cli::exit::{Code, HUNG_UP, INTERRUPTED, TERMINATED};
use crate::cli::output::{complain, say};
use crate::cli::process::runtime;

/// Listens to signals until it is dropped.
pub(crate) struct Preparation {
    over: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Preparation {
    /// Listens from the moment at which this returns. `None` where the system gives no thread or no
    /// descriptors: then a signal has its default effect.
    pub(crate) fn start() -> Option<Self> {
        let (over, ended) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let listen = move || {
            let Ok(runtime) = runtime() else { return };
            runtime.block_on(async {
                let Ok(signals) = Signals::listen() else {
                    return;
                };
                // The receiver is below, and waits.
                let _ = ready.send(());
                tokio::select! {
                    _ = ended => {}
                    (name, code) = signals.next() => {
                        // A bar may stand in the line.
                        if std::io::stderr().is_terminal() {
                            complain("\n");
                        }
                        say!("ended by {name} before the guest had started; nothing was kept of it");
                        crate::task::leave(code.number());
                    }
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("signals".into())
            .spawn(listen);
        // An error means that the thread has given up.
        let ready = is_ready.recv().is_ok();
        let thread = thread.ok().filter(|_| ready)?;
        Some(Self {
            over: Some(over),
            thread: Some(thread),
        })
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It returns nothing.
            let _ = thread.join();
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Hangup,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: Hangup::listen()?,
        })
    }

    /// The name of the next signal, and the exit code that goes with it.
    async fn next(mut self) -> (&'static str, Code) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", INTERRUPTED),
            _ = self.terminate.recv() => ("SIGTERM", TERMINATED),
            () = self.hangup.received() => ("SIGHUP", HUNG_UP),
        }
    }
}
