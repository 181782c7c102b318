//! Rights that a guest has given up, over resumes that let it write or not. What a guest sees of
//! them without a resume is in `wasm/src/c/bug_rights.c`.

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
