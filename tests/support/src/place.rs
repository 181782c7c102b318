//! Where things are.

use std::path::{Path, PathBuf};

use dormouse_model::spec::EngineKind;

/// The engines in this build, by name.
pub fn engines() -> Vec<&'static str> {
    let name = |engine| match engine {
        EngineKind::Wasmtime => "wasmtime",
        EngineKind::WasmEdge => "wasmedge",
    };
    EngineKind::available().map(name).collect()
}

/// A file of the checkout.
pub fn checkout(path: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2);
    root.expect("this is tests/support").join(path)
}

/// A built guest.
pub fn guest(name: &str) -> PathBuf {
    checkout(&format!("wasm/bin/{name}.wasm"))
}

/// The user's cache directory for this project.
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    base.unwrap_or_else(|| home.join(".cache")).join("dormouse")
}

/// A cache of modules that only tests use.
pub fn test_modules() -> PathBuf {
    cache().join("test-modules")
}

/// The binary. Cargo says where it is; without cargo, it lies beside the folder of the running test.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_dormouse") {
        return path.into();
    }
    let test = std::env::current_exe().expect("Linux knows it");
    let folder = test.ancestors().nth(2);
    folder.expect("it lies in `deps`").join("dormouse")
}
