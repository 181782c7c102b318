//! Reaches a guest that computes, from another thread. As long as nobody does, it costs nothing.
//!
//! ```text
//!   kill: set `killed`, then send SIGURG to the guest's thread until the call has ended
//!   its handler: is this the guest's own code? --yes--> leave it, as at a trap
//!                                              `--no--> nothing: a host call looks at `killed`
//!                                                       itself, and the next signal finds the rest
//! ```
//!
//! A guest that was killed never continues, so it does not matter where it stood. Leaving it is the
//! engine's own way out of a trap: for Wasmtime the thread continues at an instruction that traps,
//! for WasmEdge in its handler of faults. Both throw the guest's frames away and no others, since
//! the program counter is in the guest's code: no frame of the host's lies above the guest's.
//!
//! SIGURG, because nothing happens where a stray one arrives, and no program waits for it.

#![expect(
    unsafe_code,
    reason = "a signal handler, and the registers that it changes"
)]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::signals;

/// The signal that looks where a guest stands.
const SIGNAL: c_int = libc::SIGURG;

/// How long the first signal has to take effect before the next is sent. Each has twice as long as
/// the one before.
const FIRST_SIGNAL_WAIT: Duration = Duration::from_micros(500);
/// How long a signal has at most.
const LONGEST_SIGNAL_WAIT: Duration = Duration::from_millis(50);

/// Where a guest's machine code is, and the way out of it.
pub(super) struct Code {
    /// Sorted, and apart from each other.
    pub(super) ranges: Vec<Range<usize>>,
    pub(super) exit: Exit,
}

/// How a thread leaves the guest's code, from within a signal handler.
pub(super) enum Exit {
    /// It continues at this address, where an instruction traps.
    #[cfg(feature = "wasmtime")]
    Trap(usize),
    /// This is called with what the handler was given, and does not return.
    #[cfg(feature = "wasmedge")]
    Fault(fn(*mut libc::siginfo_t, *mut c_void)),
}

impl Code {
    fn contains(&self, address: usize) -> bool {
        let next = self.ranges.partition_point(|range| range.end <= address);
        let range = self.ranges.get(next);
        range.is_some_and(|range| range.contains(&address))
    }
}

/// Reaches one instance from anywhere.
#[derive(Clone)]
pub struct Interrupt(Arc<Target>);

struct Target {
    killed: AtomicBool,
    /// The thread that is in the guest.
    thread: Mutex<Option<libc::pthread_t>>,
    /// A byte of the guest's that tells it to suspend.
    flag: Mutex<Option<Flag>>,
    /// Found out when it is needed; `None` where this system has no way.
    code: OnceLock<Option<Code>>,
    find_code: Box<dyn Fn() -> Option<Code> + Send + Sync>,
}

#[derive(Clone, Copy)]
struct Flag(*const AtomicU8);

// SAFETY: the byte is an atomic one, and it is used only under the lock behind which `InterruptOwner`
// takes the pointer away before the byte goes.
unsafe impl Send for Flag {}

thread_local! {
    /// What this thread's guest shares; null while there is none. It lives as long as the call.
    static CURRENT: Cell<*const Target> = const { Cell::new(std::ptr::null()) };
}

impl Interrupt {
    /// Ends the guest: if it computes, at once; else at its next host call. It never runs again.
    pub fn kill(&self) {
        if self.0.killed.swap(true, Ordering::SeqCst) || self.0.lock_thread().is_none() {
            // Under way already; or it is not in the guest, and `enter` will see it.
            return;
        }
        let shared = self.0.clone();
        let spawned = std::thread::Builder::new()
            .name("kill".into())
            .spawn(move || shared.signal_until_outside());
        if let Err(error) = spawned {
            log::warn!(
                "cannot start a thread to end a guest, which ends at its next host call: {error}"
            );
        }
    }

    /// Asks the guest to suspend at its next check, or takes the request back. Without checks in its
    /// code nothing happens.
    pub fn request_suspend(&self, suspend: bool) {
        let flag = self.0.lock_flag();
        if let Some(Flag(byte)) = *flag {
            // SAFETY: while the lock is held, the instance with the byte is there.
            unsafe { (*byte).store(u8::from(suspend), Ordering::SeqCst) };
        }
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt")
            .field("killed", &self.0.killed)
            .finish_non_exhaustive()
    }
}

/// The instance's side of an [`Interrupt`]. It must be dropped before the instance's memories are.
pub(super) struct InterruptOwner(Interrupt);

impl InterruptOwner {
    /// `find_code` says where the instance's machine code is. It is called at the first kill, on
    /// another thread. `None` from it says that this system cannot interrupt machine code: the guest
    /// then ends at its next host call.
    pub(super) fn new(find_code: impl Fn() -> Option<Code> + Send + Sync + 'static) -> Self {
        Self(Interrupt(Arc::new(Target {
            killed: AtomicBool::new(false),
            thread: Mutex::new(None),
            flag: Mutex::new(None),
            code: OnceLock::new(),
            find_code: Box::new(find_code),
        })))
    }

    /// From now on [`Interrupt::request_suspend`] sets this byte, which the guest's checks read.
    ///
    /// # Safety
    /// The byte must be there until this is dropped or detached, and whatever else uses it
    /// meanwhile must do so by atomic loads, or while no call is under way.
    pub(super) unsafe fn set_flag_byte(&self, byte: *const u8) {
        *self.0.0.lock_flag() = Some(Flag(byte.cast()));
    }

    pub(super) fn handle(&self) -> Interrupt {
        self.0.clone()
    }

    /// Runs `call`, which enters the guest; `None` where the guest has been killed before.
    pub(super) fn enter<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        let inside = Inside::new(&self.0.0);
        // `kill` sets the flag first, and then looks for the thread.
        let killed = || inside.shared.killed.load(Ordering::SeqCst);
        let result = (!killed()).then(call);
        if killed() {
            // A handler that left by a jump has left the signal blocked.
            unblock();
        }
        result
    }
}

impl InterruptOwner {
    /// The byte of the flag is about to go.
    pub(super) fn detach(&self) {
        *self.0.0.lock_flag() = None;
    }
}

impl Drop for InterruptOwner {
    fn drop(&mut self) {
        self.detach();
    }
}

/// While a thread is in the guest.
struct Inside<'a> {
    shared: &'a Target,
    outer: *const Target,
}

impl<'a> Inside<'a> {
    fn new(shared: &'a Target) -> Self {
        // SAFETY: takes nothing, and cannot fail.
        *shared.lock_thread() = Some(unsafe { libc::pthread_self() });
        let outer = CURRENT.replace(shared);
        Self { shared, outer }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
        *self.shared.lock_thread() = None;
    }
}

impl Target {
    /// The thread that is in the guest. While the lock is held, it cannot leave the guest.
    fn lock_thread(&self) -> MutexGuard<'_, Option<libc::pthread_t>> {
        self.thread.lock()
    }

    /// The byte by which the guest is asked to suspend. While the lock is held, it stays there.
    fn lock_flag(&self) -> MutexGuard<'_, Option<Flag>> {
        self.flag.lock()
    }

    /// Sends signals until the thread has left the guest.
    fn signal_until_outside(&self) {
        if self.code.get_or_init(|| (self.find_code)()).is_none() || !install() {
            return;
        }
        let mut wait = FIRST_SIGNAL_WAIT;
        loop {
            let thread = self.lock_thread();
            let Some(id) = *thread else { return };
            // SAFETY: the thread cannot leave the guest, let alone end, while the lock is held.
            unsafe { libc::pthread_kill(id, SIGNAL) };
            drop(thread);
            std::thread::sleep(wait);
            wait = (wait * 2).min(LONGEST_SIGNAL_WAIT);
        }
    }
}

static BEFORE: OnceLock<Option<libc::sigaction>> = OnceLock::new();

/// Sets the handler, once per process.
fn install() -> bool {
    let before = BEFORE.get_or_init(|| {
        // The signal is blocked while the handler runs: a second one would not fit on the alternate
        // stack. SAFETY: `handle` does only what a signal handler may.
        unsafe { signals::set(SIGNAL, handle, libc::SA_RESTART) }
    });
    before.is_some()
}

fn unblock() {
    // SAFETY: all zeroes is a valid set, and the calls get one of this thread's.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, SIGNAL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let current = CURRENT.get();
    if current.is_null() {
        // The signal is not for a guest, but for the handler that was there before.
        if let Some(Some(before)) = BEFORE.get() {
            // SAFETY: the system has given `before`, and the kernel the rest. Nothing happens by
            // default.
            unsafe { signals::call(before, signal, info, context) };
        }
        return;
    }
    // SAFETY: set by `Inside`, which borrows it for as long as it is set, on this thread.
    let shared = unsafe { &*current };
    let Some(Some(code)) = shared.code.get() else {
        return;
    };
    if !shared.killed.load(Ordering::SeqCst) {
        return;
    }
    // SAFETY: the kernel gives a handler with `SA_SIGINFO` the thread's registers.
    let Some(counter) = (unsafe { program_counter(context) }) else {
        return;
    };
    if !code.contains(*counter as usize) {
        return;
    }
    match code.exit {
        #[cfg(feature = "wasmtime")]
        Exit::Trap(address) => *counter = address as _,
        #[cfg(feature = "wasmedge")]
        Exit::Fault(leave) => leave(info, context),
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
unsafe fn program_counter<'a>(context: *mut c_void) -> Option<&'a mut libc::greg_t> {
    // SAFETY: the caller's context is the kernel's.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_mut() };
    context?.uc_mcontext.gregs.get_mut(libc::REG_RIP as usize)
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
unsafe fn program_counter<'a>(context: *mut c_void) -> Option<&'a mut libc::c_ulonglong> {
    // SAFETY: the caller's context is the kernel's.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_mut() };
    Some(&mut context?.uc_mcontext.pc)
}

/// Elsewhere a killed guest continues until it calls the host.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
unsafe fn program_counter<'a>(_: *mut c_void) -> Option<&'a mut usize> {
    None
}
