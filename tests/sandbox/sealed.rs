//! Signed and encrypted snapshots: taken as asked, or refused in the same words whatever is wrong, before anything
//! of them is looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::{bounded, lines};
use dormouse_test_support::{dormouse, ended, finish, guest, says, stderr};

/// Refused for its envelope.
const UNTRUSTED: i32 = 81;

struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    /// Two pairs of each kind: mine and another's.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let keys = Self { folder };
        for (kind, name) in [
            ("sign", "mine"),
            ("sign", "other"),
            ("encrypt", "box"),
            ("encrypt", "else"),
        ] {
            let made = keys.command(&["keygen", kind, &keys.path(name)]);
            ended(&made, 0).expect("keys are made");
        }
        keys
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Output {
        finish(
            dormouse().current_dir(self.folder.path()).args(arguments),
            Stdio::null(),
        )
    }

    /// A guest asleep in a file that was sealed with these flags.
    fn sleep(&self, name: &str, flags: &[&str]) -> PathBuf {
        let path = self.path(name);
        let guest = guest("c_hello_sleep").display().to_string();
        let run = ["run", "--suspend", "always", "--snapshot", &path];
        ended(&self.command(&[&run, flags, &[&guest]].concat()), 75).expect("it sleeps");
        path.into()
    }

    fn resume(&self, path: &Path, flags: &[&str]) -> Output {
        let path = path.display().to_string();
        self.command(&[&["resume"], flags, &[&path]].concat())
    }

    fn refused(&self, path: &Path, flags: &[&str], code: i32, words: &str) {
        let path = path.display().to_string();
        for command in ["resume", "inspect"] {
            let output = self.command(&[&[command], flags, &[&path]].concat());
            ended(&output, code)
                .and_then(|()| says(&output, &[words]))
                .unwrap_or_else(|message| panic!("{command} {flags:?}: {message}"));
            assert!(output.stdout.is_empty(), "{:?}", lines(&output));
        }
    }
}

const NOT_SIGNED: &str = "not signed by a key given with --verify-key, or was changed since";
const NOT_DECRYPTED: &str =
    "cannot be decrypted with a key given with --decrypt-key, or was changed";

#[test]
fn what_is_signed_and_encrypted_goes_on() {
    let keys = Keys::new();
    let (mine, public) = (keys.path("mine"), keys.path("mine.pub"));
    let (secret, recipient) = (keys.path("box"), keys.path("box.pub"));
    let sign = ["--sign-key", &*mine];
    let encrypt = ["--encrypt-to", &*recipient];
    let verify = ["--verify-key", &*public, "--require-signature"];
    let decrypt = ["--decrypt-key", &*secret];
    let all = [&sign[..], &encrypt].concat();
    let open = [&verify[..], &decrypt].concat();
    for (name, close, open) in [
        ("signed", &sign[..], &verify[..]),
        ("encrypted", &encrypt, &decrypt),
        ("both", &all, &open),
    ] {
        let path = keys.sleep(name, close);
        let bytes = fs::read(&path).expect("it was written");
        assert!(bytes.starts_with(b"dormseal"), "{name}");
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        // Nothing of the guest's is to be read in what is encrypted.
        let shows = bytes.windows(8).any(|part| part == b"dormouse");
        assert_eq!(shows, name == "signed", "{name}");
        let output = keys.resume(&path, open);
        ended(&output, 0).expect("it goes on");
        assert_eq!(output.stdout, b"bye\n", "{name}");
        // The key itself, in place of a file of it.
        let told =
            keys.command(&[&["inspect", "--json"], open, &[&path.display().to_string()]].concat());
        ended(&told, 0).expect("it is told");
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
        let key = fs::read_to_string(&public).expect("a key");
        let key = key.lines().last().expect("a key").to_string();
        if name != "encrypted" {
            assert_eq!(told["seal"]["signer"], *key);
            assert_eq!(told["seal"]["trusted"], true);
            let by_text = [&["--verify-key", &*key], &open[3..]].concat();
            ended(&keys.resume(&path, &by_text), 0).expect("it goes on");
        }
        assert_eq!(told["seal"]["encrypted"], name != "signed");
    }
    // minisign's and age's own tools can use the keys; here it is their formats that are held.
    let text = fs::read_to_string(&mine).expect("a key");
    assert!(
        text.starts_with("untrusted comment: minisign secret key"),
        "{text}"
    );
    let text = fs::read_to_string(&secret).expect("a key");
    assert!(
        text.contains("\nAGE-SECRET-KEY-1"),
        "no secret key of age's"
    );
    let mode = fs::metadata(&secret)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// The wrong key, none, a key of another kind.
#[test]
fn the_wrong_keys_open_nothing() {
    let keys = Keys::new();
    let (mine, other) = (keys.path("mine"), keys.path("other.pub"));
    let (recipient, wrong) = (keys.path("box.pub"), keys.path("else"));
    let signed = keys.sleep("signed", &["--sign-key", &mine]);
    let encrypted = keys.sleep("encrypted", &["--encrypt-to", &recipient]);
    keys.refused(&signed, &["--verify-key", &other], UNTRUSTED, NOT_SIGNED);
    keys.refused(
        &encrypted,
        &["--decrypt-key", &wrong],
        UNTRUSTED,
        NOT_DECRYPTED,
    );
    let output = keys.resume(&encrypted, &[]);
    ended(&output, UNTRUSTED).expect("it is refused");
    says(&output, &["is encrypted", "--decrypt-key"]).expect("it says so");
    let path = encrypted.display().to_string();
    // Without a key, `inspect` tells what can be told.
    let told = keys.command(&["inspect", &path]);
    ended(&told, 0).expect("it is told");
    assert_eq!(lines(&told), ["encrypted  by age; --decrypt-key opens it"]);
    // A question about trust without an answer is an error of the command line.
    ended(&keys.resume(&signed, &["--require-signature"]), 64).expect("it is refused");
    for wrong in [&*mine, &*recipient, "nonsense"] {
        let output = keys.resume(&signed, &["--verify-key", wrong]);
        assert!(
            matches!(output.status.code(), Some(64 | 66)),
            "{}",
            stderr(&output)
        );
    }
    let output = keys.resume(&encrypted, &["--decrypt-key", &recipient]);
    ended(&output, 64).expect("it is refused");
}

/// What an attacker can do to a file: strip it, cut it, mix it, take another's signature, say less of it.
#[test]
fn what_was_changed_is_refused() {
    let keys = Keys::new();
    let (mine, public) = (keys.path("mine"), keys.path("mine.pub"));
    let (secret, recipient) = (keys.path("box"), keys.path("box.pub"));
    let plain = keys.sleep("plain", &[]);
    let signed = keys.sleep("signed", &["--sign-key", &mine]);
    let encrypted = keys.sleep("encrypted", &["--encrypt-to", &recipient]);
    let both = keys.sleep("both", &["--sign-key", &mine, "--encrypt-to", &recipient]);
    let read = |path: &PathBuf| fs::read(path).expect("it was written");
    let verify = ["--verify-key", &*public];
    let decrypt = ["--decrypt-key", &*secret];
    let open = [verify, decrypt].concat();
    let forged = PathBuf::from(keys.path("forged"));
    let refused = |bytes: &[u8], flags: &[&str], code, words: &str| {
        fs::write(&forged, bytes).expect("a scratch file");
        keys.refused(&forged, flags, code, words);
    };
    // No signature, or no encryption, where it is asked for.
    refused(&read(&plain), &verify, UNTRUSTED, NOT_SIGNED);
    refused(&read(&encrypted), &open, UNTRUSTED, NOT_SIGNED);
    refused(&read(&plain), &decrypt, UNTRUSTED, "is not encrypted");
    refused(&read(&signed), &open, UNTRUSTED, "is not encrypted");
    let (head, both_bytes) = (24, read(&both));
    // The signature cut out, and the envelope told so.
    let stripped = |bytes: &[u8]| {
        let mut bytes = [&bytes[..head], &bytes[head + 116..]].concat();
        bytes[12] &= 2;
        bytes
    };
    refused(&stripped(&both_bytes), &open, UNTRUSTED, NOT_SIGNED);
    let bare = read(&signed)[head + 116..].to_vec();
    assert_eq!(bare[..8], *b"dormouse");
    refused(&bare, &verify, UNTRUSTED, NOT_SIGNED);
    // An envelope around nothing.
    let mut empty = stripped(&read(&signed));
    empty[12] = 0;
    refused(&empty, &verify, 67, "no known kind");
    // The signature of another snapshot, over this payload.
    let again = keys.sleep("again", &["--sign-key", &mine, "--encrypt-to", &recipient]);
    let again = read(&again);
    let mixed = [
        &both_bytes[..head],
        &again[head..head + 116],
        &both_bytes[head + 116..],
    ]
    .concat();
    refused(&mixed, &open, UNTRUSTED, NOT_SIGNED);
    // Signed by another, who says that the key is mine.
    let others = keys.sleep("others", &["--sign-key", &keys.path("other")]);
    let mut others = read(&others);
    others[head..head + 42].copy_from_slice(&read(&signed)[head..head + 42]);
    refused(&others, &verify, UNTRUSTED, NOT_SIGNED);
    // Without a key to trust, a signature must still be right.
    fs::write(&forged, &others).expect("a scratch file");
    let output = keys.resume(&forged, &[]);
    ended(&output, UNTRUSTED).expect("it is refused");
    says(&output, &["was changed after it was signed"]).expect("it says so");
    // Told to be encrypted or not, which the signature covers.
    for flags in [0_u8, 2, 4, 255] {
        let mut bytes = read(&signed);
        bytes[12] = flags;
        fs::write(&forged, &bytes).expect("a scratch file");
        let code = keys.resume(&forged, &verify).status.code();
        assert!(
            matches!(code, Some(UNTRUSTED | 67)),
            "flags {flags}: {code:?}"
        );
    }
    let mut newer = read(&signed);
    newer[8] = 2;
    refused(&newer, &verify, 68, "newer dormouse");
    // Every part of it, cut and flipped.
    let cuts = [0, 7, 8, 20, 23, 24, 60, 139, 140, 141, both_bytes.len() - 1];
    for cut in cuts {
        fs::write(&forged, &both_bytes[..cut]).expect("a scratch file");
        let output = keys.resume(&forged, &open);
        let code = output.status.code();
        assert!(
            matches!(code, Some(67 | UNTRUSTED)),
            "cut to {cut}: {code:?}"
        );
        assert!(output.stdout.is_empty() && !stderr(&output).contains("panicked"));
    }
    for place in (0..200).chain([both_bytes.len() / 2, both_bytes.len() - 1]) {
        let mut bytes = both_bytes.clone();
        bytes[place] ^= 4;
        fs::write(&forged, &bytes).expect("a scratch file");
        let output = keys.resume(&forged, &open);
        let code = output.status.code();
        assert!(
            matches!(code, Some(67 | 68 | UNTRUSTED)),
            "byte {place}: {code:?}"
        );
        assert!(output.stdout.is_empty() && !stderr(&output).contains("panicked"));
    }
    // Something behind it.
    refused(
        &[&both_bytes[..], b"x"].concat(),
        &open,
        67,
        "after the end",
    );
}

/// A snapshot within an envelope is as little trusted as one without: sizes are checked before memory is asked for.
#[test]
fn an_envelope_is_no_bomb() {
    let keys = Keys::new();
    let forged = keys.path("forged");
    for (length, words) in [
        (u64::MAX, "limit"),
        (1 << 40, "limit"),
        (6 << 30, "cut off"),
    ] {
        let mut bytes = b"dormseal\x01\0\0\0\x02\0\0\0".to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend(b"age-encryption.org/v1\n");
        bytes.extend([b'-'; 5000]);
        fs::write(&forged, &bytes).expect("a scratch file");
        let output = bounded(
            500,
            20,
            &["resume", "--decrypt-key", &keys.path("box"), &forged],
        );
        ended(&output, 67)
            .and_then(|()| says(&output, &[words]))
            .expect("it is refused");
    }
}

/// What was encrypted is never written in clear: the next snapshot is for whoever could read this one. A signature
/// needs its key again, and it is said that there is none.
#[test]
fn the_next_snapshot_is_no_less_secret() {
    let keys = Keys::new();
    let (mine, public) = (keys.path("mine"), keys.path("mine.pub"));
    let (secret, recipient) = (keys.path("box"), keys.path("box.pub"));
    let path = keys.path("chain");
    let module = guest("c_sleep_loop").display().to_string();
    let run = [
        "run",
        "--suspend",
        "always",
        "--snapshot",
        &path,
        "--sign-key",
        &mine,
    ];
    let slept = keys.command(&[&run[..], &["--encrypt-to", &recipient, &module]].concat());
    ended(&slept, 75).expect("it sleeps");
    let path = PathBuf::from(path);
    let open = [
        "--suspend",
        "always",
        "--decrypt-key",
        &*secret,
        "--verify-key",
        &*public,
    ];
    let output = keys.resume(&path, &[&open[..], &["--sign-key", &mine]].concat());
    ended(&output, 75).expect("it sleeps");
    let bytes = fs::read(&path).expect("it was written");
    assert_eq!((&bytes[..8], bytes[12]), (&b"dormseal"[..], 3));
    let output = keys.resume(&path, &open);
    ended(&output, 75).expect("it sleeps");
    says(&output, &["will not be signed"]).expect("it says so");
    let bytes = fs::read(&path).expect("it was written");
    assert_eq!(
        (&bytes[..8], bytes[12]),
        (&b"dormseal"[..], 2),
        "it is still encrypted"
    );
    keys.refused(&path, &open[2..], UNTRUSTED, NOT_SIGNED);
}

/// A key that is there is not written over.
#[test]
fn keys_are_not_written_over() {
    let keys = Keys::new();
    let before = fs::read(keys.path("mine")).expect("a key");
    let output = keys.command(&["keygen", "sign", &keys.path("mine")]);
    ended(&output, 73)
        .and_then(|()| says(&output, &["mine", "exists"]))
        .expect("it is refused");
    assert_eq!(fs::read(keys.path("mine")).expect("a key"), before);
}
