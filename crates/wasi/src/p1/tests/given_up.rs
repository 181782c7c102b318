//! Rights that a guest gives up, where only the host can see them: over resumes with other grants.
//! And lists of buffers of any length. What a guest sees of both is in `wasm/src/c/bug_rights.c`
//! and `c_many_buffers.c`.

use super::*;
use crate::Access;

impl Guest {
    /// Goes on over the same directory, to be read only or not.
    fn sleep_with(&mut self, access: Access) {
        let state = self.state().expect("it can be saved");
        let mut bindings = bindings(&self.host, Input::Null, &self.output);
        bindings.dirs[0].access = access;
        let options = RestoreOptions::default();
        self.ctx = Ctx::restore(state, bindings, options, self.clock.clone()).expect("a context");
    }

    fn rights(&mut self, fd: u32) -> (u64, u64) {
        let arguments = [u64::from(fd), u64::from(DATA)];
        let errno = self.errno(Function::FdFdstatGet, &arguments);
        assert_eq!(errno, Errno::Success);
        (self.u64_at(DATA + 8), self.u64_at(DATA + 16))
    }

    fn keep(&mut self, fd: u32, base: u64, inheriting: u64) {
        let arguments = [u64::from(fd), base, inheriting];
        let errno = self.errno(Function::FdFdstatSetRights, &arguments);
        assert_eq!(errno, Errno::Success);
    }
}

/// A directory's leave to write comes back with a resume that grants it. What the guest had given
/// up came back, too.
#[test]
fn a_right_stays_given_up_when_the_leave_to_write_comes_back() {
    let mut guest = Guest::new();
    let (base, inheriting) = guest.rights(ROOT);
    guest.keep(ROOT, base & !rights::PATH_UNLINK_FILE, inheriting);
    guest.sleep_with(Access::ReadOnly);
    guest.sleep_with(Access::ReadWrite);
    assert_eq!(guest.open("a", CREAT, WRITE, 0), Ok(4));
    assert_eq!(
        guest.path_call(Function::PathUnlinkFile, "a"),
        Errno::Notcapable
    );
    assert_eq!(guest.rights(ROOT).0, base & !rights::PATH_UNLINK_FILE);
}

/// The same where a directory does not pass it on.
#[test]
fn what_is_not_passed_on_stays_so_over_resumes() {
    let mut guest = Guest::new();
    assert_eq!(
        guest.path_call(Function::PathCreateDirectory, "d"),
        Errno::Success
    );
    let (base, inheriting) = guest.rights(ROOT);
    guest.keep(ROOT, base, inheriting & !rights::PATH_UNLINK_FILE);
    let dir = guest.open("d", DIRECTORY, 0, 0).err();
    assert_eq!(dir, None);
    guest.sleep_with(Access::ReadOnly);
    guest.sleep_with(Access::ReadWrite);
    guest.put(PATH, b"x");
    let unlink = guest.errno(Function::PathUnlinkFile, &[4, u64::from(PATH), 1]);
    assert_eq!(unlink, Errno::Notcapable);
    let deeper = guest.open_at(4, 1, ".", DIRECTORY, rights::PATH_UNLINK_FILE, 0);
    assert_eq!(deeper, Err(Errno::Notcapable));
}

/// The calls with a list of buffers at this address, of so many.
fn transfers(guest: &mut Guest, fd: u32, list: u64, count: u64) -> [Errno; 4] {
    let plain = [u64::from(fd), list, count, u64::from(RESULT)];
    let placed = [u64::from(fd), list, count, 0, u64::from(RESULT)];
    [
        guest.errno(Function::FdWrite, &plain),
        guest.errno(Function::FdPwrite, &placed),
        guest.errno(Function::FdRead, &plain),
        guest.errno(Function::FdPread, &placed),
    ]
}

/// The specification names no limit. A list that does not lie in memory is a fault before anything
/// is done.
#[test]
fn a_list_of_buffers_has_any_length() {
    let mut guest = Guest::new();
    guest.memory = vec![0; 64 << 20];
    let fd = guest.open("a", CREAT, READ | WRITE, 0).expect("a file");
    let list = 1_u64 << 20;
    // As many as fit: all of them empty, but the last one.
    let most = (guest.memory.len() as u64 - list) / 8;
    for count in [0, 1, 1024, 1025, most] {
        assert_eq!(transfers(&mut guest, fd, list, count), [Errno::Success; 4]);
        assert_eq!(guest.u32_at(RESULT), 0);
    }
    let last = (list + (most - 1) * 8) as u32;
    guest.put(last, &DATA.to_le_bytes());
    guest.put(last + 4, &3_u32.to_le_bytes());
    assert_eq!(transfers(&mut guest, fd, list, most), [Errno::Success; 4]);
    assert_eq!(guest.u32_at(RESULT), 3);
    for count in [most + 1, 1 << 29, (1 << 29) - 1, u64::from(u32::MAX)] {
        assert_eq!(transfers(&mut guest, fd, list, count), [Errno::Fault; 4]);
    }
    // Each of these holds all that a call can report.
    for entry in 0..3000 {
        guest.put(list as u32 + entry * 8 + 4, &(60_u32 << 20).to_le_bytes());
    }
    let reads = [u64::from(fd), list, 3000, 0, u64::from(RESULT)];
    let errno = guest.errno(Function::FdPread, &reads);
    assert_eq!((errno, guest.u32_at(RESULT)), (Errno::Success, 3));
}
