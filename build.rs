//! The C++ library, which Binaryen needs, is linked into the program. As a shared library, the loader
//! would look up some 1,500 of its symbols at every start, and a resume is a start. The linker takes an
//! archive where it finds no shared library of the name first, so it is shown a folder that holds
//! nothing but the archive. Where there is none, all stays as usual. A program without the feature
//! `binaryen` needs no C++ at all.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CXX");
    if std::env::var_os("CARGO_FEATURE_BINARYEN").is_none() {
        return;
    }
    let is = |variable: &str, value: &str| std::env::var(variable).as_deref() == Ok(value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || std::env::var("HOST") != std::env::var("TARGET") {
        return;
    }
    if let Some(folder) = only_archive() {
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
}

/// A folder with `libstdc++.a` alone.
fn only_archive() -> Option<PathBuf> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let asked = Command::new(compiler)
        .arg("-print-file-name=libstdc++.a")
        .output()
        .ok()?;
    let archive = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
    // The bare name comes back where there is no such file.
    if !archive.is_absolute() {
        return None;
    }
    let folder = Path::new(&std::env::var_os("OUT_DIR")?).join("static");
    std::fs::create_dir_all(&folder).ok()?;
    let link = folder.join("libstdc++.a");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&archive, &link).ok()?;
    Some(folder)
}
