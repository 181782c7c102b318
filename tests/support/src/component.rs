//! Components of WASI 0.2 are made, and run by their oracle.

use std::path::Path;
use std::process::Command;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use crate::command::{dormouse, ended};
use crate::place::{cache, checkout};

/// Wraps a command of WASI preview1 into a component, with the adapter that Wasmtime's authors
/// make.
pub fn component(module: &[u8]) -> Result<Vec<u8>, String> {
    wrapped(module, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)
}

/// Wraps a module that is no command, such as one that answers HTTP requests.
pub fn reactor(module: &[u8]) -> Result<Vec<u8>, String> {
    wrapped(module, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
}

fn wrapped(module: &[u8], adapter: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|encoder| encoder.encode());
    encoded.map_err(|error| format!("{error:#}"))
}

/// A component of text, in which `;;common` stands for what components in `wasm/src/composed` have in
/// common.
pub fn component_of_text(text: &str) -> Vec<u8> {
    let common = std::fs::read_to_string(checkout("wasm/src/composed/common.wat"));
    let text = text.replace(";;common", &common.expect("the common part is there"));
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Composes components of `wasm/src/composed` with `dormouse compose`; the program comes first.
pub fn composed(names: &[String], folder: &Path, output: &Path) {
    let mut command = dormouse();
    command.arg("compose");
    for name in names {
        let source = checkout(&format!("wasm/src/composed/{name}.wat"));
        let text = std::fs::read_to_string(source).expect("a source of the composition");
        let path = folder.join(format!("{name}.wasm"));
        std::fs::write(&path, component_of_text(&text)).expect("a file can be written");
        command.arg(path);
    }
    let output = command.arg("-o").arg(output).output().expect("it starts");
    ended(&output, 0).unwrap_or_else(|error| panic!("{error}"));
}

/// Two components by file name, as text: one exports a function, and the other imports it.
pub const TO_COMPOSE: [(&str, &str); 2] = [
    (
        "greeter.wasm",
        r#"(component
             (core module $m (func (export "next") (result i32) i32.const 7))
             (core instance $i (instantiate $m))
             (func $f (result u32) (canon lift (core func $i "next")))
             (export "greet" (func $f)))"#,
    ),
    (
        "app.wasm",
        r#"(component (import "greet" (func $f (result u32))) (export "greeted" (func $f)))"#,
    ),
];

/// The oracle for components: the command of the Wasmtime project, from PyPI, which runs the
/// component as it is.
pub fn wasmtime() -> Command {
    let program = cache().join("wasmtime/wasmtime");
    assert!(
        program.exists(),
        "no oracle at {}; run `make setup`",
        program.display()
    );
    Command::new(program)
}
