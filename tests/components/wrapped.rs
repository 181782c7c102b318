//! Every guest of WASI preview1, wrapped by the adapter, becomes a core module again.

use dormouse::instrument;
use dormouse::model::lowered::LoweredImport;
use dormouse_test_support::{checkout, component, reactor};
use wasmparser::{Operator, Parser, Payload};

/// What is known of a flattened module by looking at it.
#[derive(Default)]
struct Look {
    imports: Vec<Option<LoweredImport>>,
    exports: Vec<String>,
    memories: u32,
    tables: u32,
    indirect_calls: usize,
}

fn look(module: &[u8]) -> Look {
    let mut look = Look::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("the module is valid") {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.expect("an import");
                    look.imports
                        .push(LoweredImport::parse(import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                let names = section
                    .into_iter()
                    .map(|export| export.expect("an export").name);
                look.exports.extend(names.map(str::to_owned));
            }
            Payload::MemorySection(section) => look.memories = section.count(),
            Payload::TableSection(section) => look.tables = section.count(),
            Payload::CodeSectionEntry(body) => {
                let operators = body.get_operators_reader().expect("a body").into_iter();
                let calls = operators
                    .filter(|operator| matches!(operator, Ok(Operator::CallIndirect { .. })));
                look.indirect_calls += calls.count();
            }
            _ => {}
        }
    }
    look
}

#[test]
fn guests_of_preview1_become_modules_again() {
    let mut taken = 0;
    for entry in std::fs::read_dir(checkout("wasm/bin"))
        .expect("guests")
        .flatten()
    {
        let path = entry.path();
        let guest = std::fs::read(&path).expect("a guest");
        // Some guests import what no adapter knows, or are broken.
        // It has no entry of its own: it answers requests.
        let wrapped = match path.ends_with("p2_serve.wasm") {
            true => reactor(&guest),
            false => component(&guest),
        };
        let Ok(component) = wrapped else {
            continue;
        };
        let name = path.display();
        if path.ends_with("wat_objects.wasm") {
            let error = instrument::flatten(&component).expect_err("components have no objects");
            assert!(error.to_string().contains("garbage collector"), "{error}");
            continue;
        }
        let flat =
            instrument::flatten(&component).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = instrument::flatten(&component).expect("it was flattened before");
        assert!(flat == again, "{name}: other bytes the second time");
        let (before, after) = (look(&guest), look(&flat));
        assert!(
            after.imports.iter().all(Option::is_some),
            "{name}: {:?}",
            after.imports
        );
        // Neither the shim's table nor calls through it are left.
        assert_eq!(after.tables, before.tables, "{name}");
        assert_eq!(after.indirect_calls, before.indirect_calls, "{name}");
        assert_eq!(after.memories, before.memories, "{name}");
        assert_eq!(after.exports.len() as u32, 1 + after.memories, "{name}");
        taken += 1;
    }
    assert!(taken > 80, "only {taken} guests could be wrapped");
}
