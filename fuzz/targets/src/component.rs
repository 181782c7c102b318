//! A component from a stranger: refused, or made into one core module that is valid, and the same each
//! time. An input whose first byte is odd is what wasm-smith makes a component of; any other is one
//! as it stands behind that byte.

use std::sync::OnceLock;

use arbitrary::Unstructured;
use dormouse::{Runtime, Transform, fuzzing, instrument};
use dormouse_test_support::{checkout, component_of_text};
use wasm_smith::{Component, Config};

pub fn run(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    if first % 2 == 0 {
        return flatten(data);
    }
    let mut unstructured = Unstructured::new(data);
    if let Ok(component) = Component::new(Config::default(), &mut unstructured) {
        flatten(&component.to_bytes());
    }
}

fn flatten(component: &[u8]) {
    let Ok(module) = instrument::flatten(component) else {
        return;
    };
    wasmparser::validate(&module).expect("what was flattened is valid");
    let again = instrument::flatten(component);
    assert!(
        again.is_ok_and(|again| again == module),
        "flattened in two ways"
    );
    // What is flattened may still be refused, such as by an import that the host lacks.
    static RUNTIME: OnceLock<(Runtime, tempfile::TempDir)> = OnceLock::new();
    let (runtime, _) = RUNTIME.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::builder()
            .cache(folder.path().to_path_buf())
            .transform(Transform::Native);
        (runtime.build().expect("a cache"), folder)
    });
    if let Ok(resumable) = fuzzing::rewrite(runtime, component) {
        fuzzing::check_resumable(&resumable).expect("what was written is valid");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut names: Vec<_> = std::fs::read_dir(checkout("wasm/src/composed"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".wat"))
        .collect();
    names.sort();
    let texts = names
        .iter()
        .filter_map(|name| std::fs::read_to_string(name).ok());
    let texts = texts.filter(|text| text.contains("(component"));
    let components = texts.map(|text| component_of_text(&text));
    let mut seeds: Vec<Vec<u8>> = components
        .map(|component| [&[0], component.as_slice()].concat())
        .collect();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..8 {
        let bytes = (0..random.usize(200..1500)).map(|_| random.u8(..));
        seeds.push(std::iter::once(1).chain(bytes).collect());
    }
    seeds
}
