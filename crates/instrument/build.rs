//! The cache of resumable modules must know which rewriting made them. A version number stays the same
//! while dormouse is worked on, so the sources are hashed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src");
    let mut hasher = DefaultHasher::new();
    sources(Path::new("src")).hash(&mut hasher);
    println!(
        "cargo:rustc-env=DORMOUSE_INSTRUMENT={:016x}",
        hasher.finish()
    );
}

/// Every file below a directory, by its path.
fn sources(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false => found.push((path.clone(), std::fs::read(&path).unwrap_or_default())),
        }
    }
    found.sort();
    found
}
