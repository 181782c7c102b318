//! Bugs in what a guest may take, and in what it is given.

use super::dormouse;
use super::support::guest;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where it was to be paused it was asked to suspend, again and again, and never ended: its loop has no place for
/// that.
#[test]
fn a_guest_that_never_listens_and_cannot_be_paused_ends() {
    let work = tempfile::tempdir().expect("a scratch directory");
    let dir = format!("{}::/work", work.path().display());
    let module = guest("bug_hostile").display().to_string();
    let output = dormouse(&[
        "run",
        "--on-limit",
        "pause",
        "--limit",
        "files=20",
        // Where it does not end by that, it does by this.
        "--limit",
        "cpu=20s",
        "--dir",
        &dir,
        &module,
        "files",
    ]);
    assert_eq!(output.status.code(), Some(80), "{}", text(&output));
    assert!(text(&output).contains("files=20"), "{}", text(&output));
}
