//! Receives and sends with more buffers than one system call takes. The other side is the kernel's own: a stream is what its
//! bytes are, however many calls they took.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use dormouse_test_support::{engines, guest, stdout, until};

use crate::support::{dormouse, free_address};

/// So many bytes the guest's buffers hold together: 5000 buffers, of which the first 2000 are empty, and number `i` has `i % 64`.
fn total() -> usize {
    (2000..5000).map(|place| place % 64).sum()
}

/// Sends all of it, reads all of it back, twice; then the guest's last three bytes, and three more to it.
fn exchange(mut stream: TcpStream) -> std::io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2 {
        let sent: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(total())
            .collect();
        stream.write_all(&sent)?;
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back)?;
        assert_eq!(sent, back, "what comes back is what was sent");
    }
    let mut end = [0; 3];
    stream.read_exact(&mut end)?;
    assert_eq!(&end, b"end");
    stream.write_all(b"bye")?;
    stream.shutdown(Shutdown::Write)?;
    let more = stream.read(&mut end)?;
    assert_eq!(more, 0, "nothing comes behind the end");
    Ok(())
}

#[test]
fn a_socket_takes_any_number_of_buffers() {
    let expected = format!(
        "sock_recv: {0}\nsock_send: {0}\nfd_read: {0}\nfd_write: {0}\nnothing: errno 0, 0\nbehind nothing: errno 0, 3\n\
         received behind nothing: errno 0, 3 bye\n",
        total()
    );
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines() {
        for flags in [&[][..], &["--rehearse"], &["--transform", "none"]] {
            let address = free_address();
            let mut command = dormouse(folder.path());
            command
                .args(["run", "--engine", engine, "--tcplisten", &address])
                .args(flags)
                .arg(guest("net_buffers"));
            let child = command.spawn().expect("it starts");
            let stream = until("it listens", || TcpStream::connect(&address).ok());
            let exchanged = exchange(stream);
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(stdout(&output), expected, "{engine} {flags:?}: {output:?}");
            assert_eq!(
                output.status.code(),
                Some(0),
                "{engine} {flags:?}: {output:?}"
            );
            exchanged.expect("the connection holds");
        }
    }
}
