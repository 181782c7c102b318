//! Handlers of signals: sets them, and hands on to those that were there before.

#![expect(unsafe_code, reason = "signal handlers")]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

/// A handler that is set with `SA_SIGINFO`: it gets the signal, what it is about, and the thread's
/// registers.
pub(super) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// How a signal is handled now.
#[cfg(feature = "wasmedge")]
pub(super) fn current(signal: c_int) -> libc::sigaction {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: all zeroes is a valid `sigaction`, and the call changes no handler.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    }
}

/// Sets a handler, with these flags beside `SA_SIGINFO` and `SA_ONSTACK`. Gives how the signal was
/// handled before, or nothing where the system does not allow it.
///
/// # Safety
/// The handler must do only what a signal handler may.
pub(super) unsafe fn set(signal: c_int, handler: Handler, flags: c_int) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::zeroed();
    // SAFETY: all zeroes is a valid `sigaction`; the handler is a function, which lives as long as
    // the process.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
        let set = libc::sigaction(signal, &raw const action, before.as_mut_ptr()) == 0;
        set.then(|| before.assume_init())
    }
}

/// Calls the handler that this action names. False where it names none: the default, or to ignore.
///
/// # Safety
/// `action` must be what the system has given, and the rest what the kernel has given to a handler
/// with `SA_SIGINFO`.
pub(super) unsafe fn call(
    action: &libc::sigaction,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) -> bool {
    match action.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => false,
        // SAFETY: the flag tells which of the two types the handler has, and it gets what the
        // kernel gave.
        function => unsafe {
            if action.sa_flags & libc::SA_SIGINFO != 0 {
                let function: Handler = std::mem::transmute(function);
                function(signal, info, context);
            } else {
                let function: extern "C" fn(c_int) = std::mem::transmute(function);
                function(signal);
            }
            true
        },
    }
}
