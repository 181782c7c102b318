//! Signals while a module is made ready, which may take minutes: nothing of the guest has been started yet, so that there
//! is nothing to suspend. The process ends at once, and leaves no half-made file and no child process behind.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::exit::{Code, HUNG_UP, INTERRUPTED, TERMINATED};
use super::guest::{heard, ignores_hangup};
use super::text::say;

/// Listens to signals until it goes.
pub(super) struct Making {
    over: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Making {
    /// Listens from the moment at which this returns. `None` where the system gives no thread or no descriptors: then a
    /// signal ends the process as it ends any.
    pub(super) fn start() -> Option<Self> {
        let (over, ended) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let listen = move || {
            let Ok(runtime) = super::guest::runtime() else {
                return;
            };
            runtime.block_on(async {
                let Ok(signals) = Signals::new() else { return };
                // Whoever waits for it is there.
                let _ = ready.send(());
                tokio::select! {
                    _ = ended => {}
                    (name, code) = signals.next() => {
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

impl Drop for Making {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where whoever started us wants it ignored.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match ignores_hangup() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    async fn next(mut self) -> (&'static str, Code) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", INTERRUPTED),
            _ = self.terminate.recv() => ("SIGTERM", TERMINATED),
            () = heard(self.hangup.as_mut()) => ("SIGHUP", HUNG_UP),
        }
    }
}
