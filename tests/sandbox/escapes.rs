//! Names that lead out: no step of a guest's may see, make, change or remove anything outside its directories.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::{lines, run, steps};
use dormouse_test_support::{dormouse, ended, finish, guest};

/// What stands in the file outside.
const SECRET: &str = "nobody's business";

/// Two directories of the guest's, `/a` and `/b`, and one beside them that is nobody's business.
pub struct Host {
    root: tempfile::TempDir,
}

impl Host {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a scratch directory");
        for name in ["a", "b", "outside", "a/sub"] {
            fs::create_dir(root.path().join(name)).expect("a directory");
        }
        let host = Self { root };
        host.write("outside/secret", SECRET);
        host.write("a/file", "inside a");
        host.write("a/sub/file", "inside sub");
        host.write("b/file", "inside b");
        host
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it can be written");
    }

    pub fn dirs(&self) -> [String; 4] {
        let dir = |name: &str| format!("{}::/{name}", self.path(name).display());
        ["--dir".into(), dir("a"), "--dir".into(), dir("b")]
    }

    /// Nothing of what is outside was touched.
    fn is_whole(&self) {
        let names = fs::read_dir(self.path("outside")).expect("it is there");
        assert_eq!(names.count(), 1, "something was made outside");
        let secret = fs::read(self.path("outside/secret")).expect("it is there");
        assert_eq!(secret, SECRET.as_bytes());
        let mut names: Vec<_> = fs::read_dir(self.root.path())
            .expect("it is there")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "snapshot")
            .collect();
        names.sort();
        assert_eq!(names, ["a", "b", "outside"]);
    }

    /// Runs steps until the guest sleeps.
    fn suspend(&self, script: &str) -> Output {
        let mut command = dormouse();
        command.args(["run", "--suspend", "always", "--snapshot"]);
        command
            .arg(self.path("snapshot"))
            .args(self.dirs())
            .arg(guest("bug_sandbox"))
            .arg(script);
        let output = finish(&mut command, Stdio::null());
        ended(&output, 75).expect("it sleeps");
        output
    }

    /// Runs the steps behind the sleep.
    fn resume(&self) -> Output {
        let mut command = dormouse();
        command
            .arg("resume")
            .args(self.dirs())
            .arg(self.path("snapshot"));
        finish(&mut command, Stdio::null())
    }

    /// Runs steps; none may show the secret.
    fn try_out(&self, script: &str) -> Vec<String> {
        let output = run(&self.dirs(), script);
        let text = lines(&output);
        assert!(text.iter().all(|line| !line.contains(SECRET)), "{text:#?}");
        self.is_whole();
        text
    }
}

/// `..`, absolute names and links, alone and together, in every call that takes a name.
#[test]
fn no_name_leads_out() {
    let host = Host::new();
    let absolute = host.path("outside").display().to_string();
    symlink(&absolute, host.path("a/absolute")).expect("a link");
    symlink("../outside", host.path("a/relative")).expect("a link");
    symlink("sub/../../outside", host.path("a/winding")).expect("a link");
    symlink("relative", host.path("a/chained")).expect("a link");
    symlink("../..", host.path("a/sub/up")).expect("a link");
    symlink("/", host.path("a/root")).expect("a link");
    let ways = [
        "../outside",
        "sub/../../outside",
        "./../outside",
        "absolute",
        "relative",
        "winding",
        "chained",
        "sub/up/outside",
        "sub/../sub/up/outside",
        &format!("root{absolute}"),
        &absolute,
        "/proc/self/root",
        "../b/../outside",
    ];
    for way in ways {
        let script = [
            format!("open 3 {way}/secret"),
            format!("open 3 {way}/secret w"),
            format!("open 3 {way}/secret wt"),
            format!("open 3 {way}/new cw"),
            format!("open 3 {way} d"),
            format!("mkdir 3 {way}/new"),
            format!("rmdir 3 {way}"),
            format!("unlink 3 {way}/secret"),
            format!("rename 3 {way}/secret 3 stolen"),
            format!("rename 3 file 3 {way}/file"),
            "rename 3 file 4 ../outside/file".to_string(),
            format!("link 3 {way}/secret 3 stolen"),
            format!("softlink 3 {way}/secret 3 stolen"),
            format!("softlink 3 file 3 {way}/file"),
            format!("symlink x 3 {way}/link"),
            format!("readlink 3 {way}/secret"),
            format!("stat 3 {way}/secret"),
            format!("times 3 {way}/secret"),
        ];
        for line in host.try_out(&script.join(";")) {
            let failed = !line.contains(": fd ") && !line.ends_with(": 0");
            assert!(failed, "{way}: {line}");
        }
    }
    assert!(host.path("a/file").exists() && !host.path("a/stolen").exists());
}

/// A guest makes the links itself: `path_symlink` takes any text, and following is what must fail.
#[test]
fn links_of_the_guests_own_lead_nowhere() {
    let host = Host::new();
    let absolute = host.path("outside/secret").display().to_string();
    let script = steps(&[
        &format!("symlink {absolute} 3 one"),
        "symlink ../outside/secret 3 two",
        "symlink ../outside 3 three",
        "open 3 one",
        "open 3 two",
        "open 3 three/secret",
        "open 3 three d",
        "softlink 3 two 3 four",
        "open 3 four",
        // A link may be renamed into the other directory, where it leads out as well.
        "rename 3 three 4 three",
        "open 4 three/secret",
        "mkdir 3 deep",
        "symlink ../../outside 3 deep/five",
        "open 3 deep d",
        "open 5 five/secret",
        "open 5 ../../outside/secret",
        "open 5 ../file",
    ]);
    for line in host.try_out(&script) {
        let outside = [
            "open one",
            "open two",
            "open three/",
            "open four",
            "open five",
        ];
        if outside.iter().any(|start| line.starts_with(start)) {
            assert!(!line.contains(": fd"), "{line}");
        }
    }
}

/// What cap-std asks the kernel for (`openat2` with `RESOLVE_BENEATH`) cannot be outrun: a name that changes
/// between a file inside and a link outside, and a directory that does.
#[test]
fn a_race_with_links_is_lost() {
    let host = Host::new();
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (a, b) = (host.path("a"), host.path("b"));
    fs::create_dir(a.join("real")).expect("a directory");
    fs::write(a.join("real/secret"), "inside").expect("a file");
    let mut seen = [0; 2];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let outside = host.path("outside");
            while !stop.load(Ordering::Relaxed) {
                // `name` is a file, then a link out; `dir` a directory, then a link out.
                let _ = fs::write(b.join("next"), "inside");
                let _ = fs::rename(b.join("next"), a.join("name"));
                let _ = fs::rename(a.join("real"), a.join("dir"));
                let _ = symlink(outside.join("secret"), b.join("link"));
                let _ = fs::rename(b.join("link"), a.join("name"));
                let _ = fs::rename(a.join("dir"), a.join("real"));
                let _ = symlink(&outside, a.join("dir"));
                let _ = fs::remove_file(a.join("dir"));
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        while rounds.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        // Until both ends of the race were seen; on a busy machine one of the two may not run at all.
        for _ in 0..10 {
            let script = "race 3 name 20000;race 3 dir/secret 20000;race 3 real/../name 20000";
            let text = lines(&run(&host.dirs(), script));
            assert_eq!(text.len(), 3, "{text:?}");
            for line in &text {
                assert!(line.ends_with(" 0 outside"), "{line}");
                let mut words = line.split(' ');
                let inside: usize = words.nth(1).and_then(|n| n.parse().ok()).expect("a number");
                let refused: usize = words.nth(1).and_then(|n| n.parse().ok()).expect("a number");
                seen = [seen[0] + inside, seen[1] + refused];
            }
            if !seen.contains(&0) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!seen.contains(&0), "there was no race: {seen:?}");
    let secret = fs::read(host.path("outside/secret")).expect("it is there");
    assert_eq!(secret, SECRET.as_bytes());
}

/// A file of the host's own can be given a name inside by the host alone: a hard link or a bind mount is what it is.
/// The guest cannot make one out of something outside.
#[test]
fn bind_mounts_and_hard_links_are_the_hosts() {
    let host = Host::new();
    let root = host.root.path().display();
    let dirs = host.dirs().join(" ");
    let script = steps(&[
        "open 3 mount/secret",
        "open 3 mount/../../outside/secret",
        "open 3 mount/../file",
        "rename 3 mount/secret 3 stolen",
        "softlink 3 mount/secret 3 stolen",
        "open 3 loop/loop/loop/file",
    ]);
    let commands = format!(
        "mkdir {root}/a/mount {root}/a/loop {root}/shared && echo shown >{root}/shared/secret &&
         mount --bind {root}/shared {root}/a/mount && mount --bind {root}/a {root}/a/loop &&
         exec $dormouse run {dirs} $guest '{script}'"
    );
    let output = in_a_mount_namespace(&commands);
    ended(&output, 0).expect("it runs");
    let text = lines(&output);
    // What the host has mounted there is there, and another file system is no way out.
    assert!(text[0].contains(": fd "), "{text:#?}");
    assert!(
        text[1].ends_with(": 63") || text[1].ends_with(": 76"),
        "{text:#?}"
    );
    assert!(text[2].contains(": fd "), "{text:#?}");
    assert!(
        text[3].ends_with(": 75") && text[4].ends_with(": 75"),
        "{text:#?}"
    );
}

/// `/proc` given as a directory holds links that lead anywhere, which the kernel follows by itself.
#[test]
fn proc_is_no_way_out() {
    let host = Host::new();
    let secret = host.path("outside/secret").display().to_string();
    let script = steps(&[
        &format!("open 3 self/root{secret}"),
        &format!("open 3 thread-self/root{secret}"),
        &format!("open 3 1/root{secret}"),
        "open 3 self/cwd d",
        "open 3 self/exe",
        "open 3 self/fd/0",
        "open 3 self/fd/1 w",
        &format!("link 3 self/root{secret} 3 self/x"),
        &format!("stat 3 self/root{secret}"),
    ]);
    let output = run(&["--dir".into(), "/proc::/proc".into()], &script);
    let text = lines(&output);
    assert_eq!(text.len(), 9, "{text:#?}");
    for line in &text {
        assert!(!line.contains(": fd ") && !line.ends_with(": 0"), "{line}");
    }
    host.is_whole();
}

#[test]
fn long_and_deep_names_are_errors() {
    let host = Host::new();
    symlink(".", host.path("a/here")).expect("a link");
    let text = host.try_out(&steps(&[
        "long 3 255 c",
        "long 3 256 c",
        "long 3 5000 c",
        "long 3 1000000 c",
        "deep 3 sub 3000",
        "deep 3 here 39",
        "deep 3 here 100000",
        "deep 3 .. 1000",
    ]));
    let found: Vec<&str> = text
        .iter()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    // 37: name too long, 32: too many links, 44: no such file.
    assert_eq!(found[..4], ["0", "37", "37", "37"], "{text:#?}");
    for (place, code) in found.iter().enumerate().skip(4) {
        let refused = ["37", "32", "44", "63", "76"].contains(code);
        // As many links as the kernel follows.
        assert!(refused || (place == 5 && *code == "0"), "{}", text[place]);
    }
}

/// Names that are no UTF-8 cannot be named by a guest, and do not stop a listing; a snapshot of a guest in such a
/// listing, or with a neighbour of such a name, resumes.
#[test]
fn names_that_are_no_utf8_do_no_harm() {
    let host = Host::new();
    for name in [&b"\xff\xfe"[..], b"caf\xe9", b"\xf0\x28\x8c\x28"] {
        fs::write(host.path("a").join(OsStr::from_bytes(name)), "inside").expect("a file");
    }
    let script = steps(&[
        "open 3 \\xff\\xfe",
        "open 3 caf\\xe9 cw",
        "unlink 3 \\xff",
        "rename 3 file 3 \\x80",
        "symlink \\xff 3 link",
        "list 3",
        "sleep 1",
        "list 3",
        "open 3 file",
    ]);
    let text = lines(&host.suspend(&script));
    // 25: no valid name.
    assert!(
        text[..5].iter().all(|line| line.ends_with(": 25")),
        "{text:#?}"
    );
    assert!(
        text[5].contains(" file") && text[5].contains(" sub"),
        "{text:#?}"
    );
    let woken = host.resume();
    ended(&woken, 0).expect("it goes on");
    let text = lines(&woken);
    assert!(
        text.last().is_some_and(|line| line.contains(": fd ")),
        "{text:#?}"
    );
}

/// Files go from one directory of the guest's to the other, and nowhere else.
#[test]
fn renames_and_links_across_directories_stay_inside() {
    let host = Host::new();
    let text = host.try_out(&steps(&[
        "rename 3 file 4 moved",
        "open 4 moved",
        "read 5",
        "rename 3 sub 4 sub",
        "open 4 sub d",
        "open 6 ../moved",
        "open 6 ../../outside/secret",
        "softlink 4 file 3 linked",
        "open 3 linked",
        "rename 4 sub 3 ../sub",
    ]));
    assert_eq!(text[0], "rename file: 0", "{text:#?}");
    assert_eq!(text[2], "read 5: inside a", "{text:#?}");
    assert!(
        text[9].ends_with(": 63") || text[9].ends_with(": 76"),
        "{text:#?}"
    );
}

/// A directory that the guest has open is moved out of its own by the host, asleep or awake: names below it still
/// cannot climb.
#[test]
fn a_directory_moved_out_is_no_way_up() {
    let host = Host::new();
    let script = steps(&[
        "open 3 sub d",
        "sleep 1",
        "open 5 ../file",
        "open 5 ../secret",
        "open 5 ../../outside/secret",
    ]);
    host.suspend(&script);
    fs::rename(host.path("a/sub"), host.path("outside/sub")).expect("it moves");
    symlink(host.path("outside/sub"), host.path("a/sub")).expect("a link");
    let output = host.resume();
    // The name is a link out now, and a resume opens by name.
    ended(&output, 71).expect("it is refused");
    assert!(lines(&output).is_empty());
}

pub fn in_a_mount_namespace(script: &str) -> Output {
    let mut command = Command::new("unshare");
    let user = Command::new("id").arg("-u").output().expect("id runs");
    if user.stdout != b"0\n" {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "bash", "-c", script]);
    command.env("dormouse", env!("CARGO_BIN_EXE_dormouse"));
    command.env("guest", guest("bug_sandbox"));
    finish(&mut command, Stdio::null())
}
