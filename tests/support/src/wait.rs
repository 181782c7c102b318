//! Something that another process does is waited for.

use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

/// Whatever is waited for has come by then, or never does.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Waits until there is a value.
#[track_caller]
pub fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < TIMEOUT, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a child leaves behind. One that does not end is a failure, not a test that hangs.
pub fn end(child: Child) -> Output {
    let pid = child.id().to_string();
    let (done, result) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match result.recv_timeout(TIMEOUT) {
        Ok(output) => output.expect("it is ours"),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
            panic!("the process does not end");
        }
    }
}
