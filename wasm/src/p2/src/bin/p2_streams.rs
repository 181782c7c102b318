//! Standard streams by the interfaces themselves: reads, skips, splices, permits to write, what a
//! closed stream says.

use wasi::cli::{
    environment, stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasi::io::streams::StreamError;

fn text(result: Result<Vec<u8>, StreamError>) -> String {
    match result {
        Ok(bytes) => format!("{:?}", String::from_utf8_lossy(&bytes)),
        Err(StreamError::Closed) => "closed".into(),
        Err(StreamError::LastOperationFailed(error)) => {
            format!("failed {}", error.to_debug_string().len() > 0)
        }
    }
}

fn main() {
    let arguments = environment::get_arguments();
    println!("arguments: {:?}", &arguments[1..]);
    let mut variables = environment::get_environment();
    variables.sort();
    println!("environment: {variables:?}");
    println!("directory: {:?}", environment::initial_cwd());
    println!(
        "terminals: {} {}",
        terminal_stdin::get_terminal_stdin().is_some(),
        terminal_stdout::get_terminal_stdout().is_some()
    );
    let _ = terminal_stderr::get_terminal_stderr();

    let input = stdin::get_stdin();
    let output = stdout::get_stdout();
    println!("read 0: {}", text(input.read(0)));
    println!("blocking 4: {}", text(input.blocking_read(4)));
    println!("skipped: {:?}", input.blocking_skip(2).map_err(|_| "error"));
    let ready = input.subscribe();
    ready.block();
    println!("ready: {}", ready.ready());
    println!("5 more: {}", text(input.blocking_read(5)));
    drop(ready);

    let permit = output.check_write().expect("it is open");
    println!("permit: {}", permit > 0);
    output.write(b"written\n").expect("it is permitted");
    output.flush().expect("it is open");
    output.blocking_flush().expect("it is open");
    output.subscribe().block();
    output
        .blocking_write_and_flush(b"at once\n")
        .expect("it is open");
    output
        .blocking_write_and_flush(b"")
        .expect("nothing is little");
    stderr::get_stderr()
        .blocking_write_and_flush(b"an error\n")
        .expect("it is open");
    // More than one permit's worth.
    let many = vec![b'm'; 4096];
    for _ in 0..5 {
        output.blocking_write_and_flush(&many).expect("it is open");
    }
    output
        .blocking_write_and_flush(b"\nsplice: ")
        .expect("it is open");
    println!(
        "spliced: {:?}",
        output.blocking_splice(&input, 7).map_err(|_| "error")
    );
    // The rest, to its end.
    let mut rest = Vec::new();
    loop {
        match input.blocking_read(100) {
            Ok(bytes) => rest.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => panic!("a read failed"),
        }
    }
    println!("rest: {:?}", String::from_utf8_lossy(&rest));
    println!(
        "after the end: {} {}",
        text(input.read(5)),
        text(input.blocking_read(5))
    );
    println!("skip after the end: {}", input.blocking_skip(5).is_err());
    // A second handle is of the same input.
    println!("again: {}", text(stdin::get_stdin().blocking_read(5)));
}
