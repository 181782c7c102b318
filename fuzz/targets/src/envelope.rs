//! Signed and encrypted snapshots that were changed: nothing opens but what the keys have closed.

use std::sync::{LazyLock, OnceLock};

use dormouse::fuzzing::{KeyKind, Seal, Unseal, new_keys};
use dormouse::model::{Limit, Limits};

static LIMITS: LazyLock<Limits> = LazyLock::new(|| {
    let mut limits = Limits::default();
    limits.set(Limit::Snapshot, Some(1 << 20));
    limits
});

struct Keys {
    _folder: tempfile::TempDir,
    /// What was closed, as it was closed, and the keys that open it: signed, encrypted, both.
    closed: Vec<(Vec<u8>, Unseal)>,
}

const INSIDE: &[u8] = b"dormouse, which need not be one to be closed";

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut paths = Vec::new();
        for kind in [KeyKind::Sign, KeyKind::Encrypt] {
            let (secret, public) = new_keys(kind).expect("keys");
            for (name, text) in [("secret", secret), ("public", public)] {
                let path = folder.path().join(format!("{kind:?}-{name}"));
                std::fs::write(&path, text).expect("a file");
                paths.push(path);
            }
        }
        let verify = [paths[1].display().to_string()];
        let encrypt_to = [paths[3].display().to_string()];
        let closed = [(true, false), (false, true), (true, true)]
            .map(|(sign, encrypt)| {
                let to = if encrypt { &encrypt_to[..] } else { &[] };
                let seal = Seal::load(sign.then_some(paths[0].as_path()), to).expect("keys");
                let verify = if sign { &verify[..] } else { &[] };
                let decrypt = if encrypt { &paths[2..3] } else { &[] };
                let open = Unseal::load(verify, decrypt).expect("keys");
                (seal.close(INSIDE.to_vec()).expect("it closes"), open)
            })
            .into();
        Keys {
            _folder: folder,
            closed,
        }
    })
}

/// The first byte says which; then changes of three bytes each, place and difference; or the file itself.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let keys = keys();
    if *kind >= 0x80 {
        let file = [b"dormseal\x01\0\0\0", rest].concat();
        for (_, open) in &keys.closed {
            assert!(
                open.open(file.clone(), &LIMITS).is_err(),
                "a stranger's was opened"
            );
        }
        let _ = Unseal::default().open(file, &LIMITS);
        return;
    }
    let (honest, open) = &keys.closed[usize::from(kind % 3)];
    let mut file = honest.clone();
    for change in rest.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        match place {
            0xff00.. => file.truncate(file.len() - usize::from(change[2]).min(file.len())),
            0xfe00..0xff00 => file.push(change[2]),
            _ => {
                let place = place % file.len().max(1);
                file.get_mut(place)
                    .into_iter()
                    .for_each(|byte| *byte ^= change[2]);
            }
        }
    }
    let same = file == *honest;
    match open.open(file, &LIMITS) {
        Ok(opened) => {
            assert_eq!(opened.content.as_deref(), Some(INSIDE));
            assert!(same, "a changed file was opened");
        }
        Err(error) => assert!(!same, "it does not open: {error}"),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..3).map(|kind| vec![kind]).collect();
    // The flags, the length, the key, the signature, the payload.
    for place in [8, 12, 16, 24, 30, 66, 70, 140, 200, 250] {
        seeds.extend((0..3).map(|kind| vec![kind, place, 0, 1]));
    }
    for (closed, _) in &keys().closed {
        seeds.push([&[0x80], &closed[12..]].concat());
    }
    seeds
}
