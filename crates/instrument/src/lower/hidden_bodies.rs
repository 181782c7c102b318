//! Bodies that Binaryen never sees.
//!
//! A function that is never on the stack at a suspend needs no rewriting. So its body is taken out
//! before Binaryen runs, and put back afterwards, byte for byte. It costs no time then, and it may
//! have what Binaryen 117 cannot read (blocks with parameters) or what its asyncify cannot rewrite
//! (tail calls).
//!
//! ```text
//!   source body -> stub { unreachable } -> Binaryen -> stub -> source body
//! ```
//!
//! A body names functions, globals, tables, memories and types by their indices. Binaryen keeps the
//! order of all but the types, as long as no pass runs that removes or reorders them: asyncify puts
//! what it adds behind the module's own, and so do we. Types it sorts. So the source's types stand
//! in front of Binaryen's, and what Binaryen has written is encoded again with higher indices.

use std::collections::BTreeSet;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ElementSection, Elements, Function, FunctionSection, ImportSection, SectionId,
};
use wasmparser::{Operator, Parser, Payload};

use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::{Import, Scan};
use crate::error::Error;
use crate::module::bodies::{bodies, range};
use crate::module::sections::Sections;

/// The functions that are never on the stack at a suspend, in rising order.
pub(crate) fn off_the_stack(scan: &Scan, graph: &CallGraph) -> Vec<u32> {
    let defined = scan.defined();
    defined.filter(|f| !graph.may_suspend(*f)).collect()
}

/// Puts stubs in place of the bodies of some functions, which are given in rising order.
pub(crate) fn take_out(wasm: &[u8], functions: &[u32]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(wasm)?;
    let mut stub = Function::new([]);
    stub.instructions().unreachable().end();
    let mut code = CodeSection::new();
    for (function, body) in scan.defined().zip(bodies(wasm)?) {
        match functions.binary_search(&function) {
            Ok(_) => code.function(&stub),
            Err(_) => code.raw(&wasm[range(&body)]),
        };
    }
    let mut sections = Sections::split(wasm)?;
    sections.replace(&code);
    Ok(sections.join())
}

/// Puts the bodies of `source` back into what Binaryen has made of it with stubs.
pub(crate) fn put_back(made: &[u8], source: &[u8], functions: &[u32]) -> Result<Vec<u8>, Error> {
    let (before, after) = (Scan::of(source)?, Scan::of(made)?);
    if !keeps_order(&before, &after) {
        return Err(Error::Internal(
            "Binaryen has changed the order of functions or globals",
        ));
    }
    let mut behind = BehindTypes(before.types.len() as u32);
    let mut sections = Sections::split(made)?;
    behind.imports_and_functions(made, &mut sections)?;

    let mut code = CodeSection::new();
    let mut referenced = BTreeSet::new();
    let mut originals = before.defined().zip(bodies(source)?);
    for (function, body) in after.defined().zip(bodies(made)?) {
        let original = originals.next();
        match (functions.binary_search(&function), original) {
            (Ok(_), Some((_, original))) => {
                for operator in original.get_operators_reader().map_err(Error::malformed)? {
                    if let Operator::RefFunc { function_index } =
                        operator.map_err(Error::malformed)?
                    {
                        referenced.insert(function_index);
                    }
                }
                code.raw(&source[range(&original)]);
            }
            _ => behind
                .parse_function_body(&mut code, body)
                .map_err(Error::encoding)?,
        }
    }
    sections.replace(&code);
    // A reference may be taken only of a function that something outside of bodies names.
    if !referenced.is_empty() {
        let mut segment = ElementSection::new();
        let functions: Vec<u32> = referenced.into_iter().collect();
        segment.declared(Elements::Functions(functions.into()));
        sections.append(&segment)?;
    }
    let types = Sections::split(source)?;
    if let Some(types) = types.content(SectionId::Type) {
        sections.prepend(SectionId::Type, types)?;
    }
    Ok(sections.join())
}

/// Whether all that bodies refer to has the same index in both modules: what was added stands
/// behind what was there.
fn keeps_order(before: &Scan, after: &Scan) -> bool {
    let names = after.defined().map(|f| after.names.get(&f));
    let expected = before.defined().map(|f| before.names.get(&f));
    let import = |import: &Import| (import.module.clone(), import.name.clone());
    let imports = after.imports.iter().map(import);
    imports.eq(before.imports.iter().map(import))
        && before.functions.len() <= after.functions.len()
        && names.zip(expected).all(|(name, expected)| name == expected)
        && after.globals.starts_with(&before.globals)
        && after.tables.starts_with(&before.tables)
}

/// Encodes what Binaryen has written for a module that begins with so many types of the source.
struct BehindTypes(u32);

impl BehindTypes {
    /// The two sections with indices of types, apart from the code.
    fn imports_and_functions(
        &mut self,
        made: &[u8],
        sections: &mut Sections<'_>,
    ) -> Result<(), Error> {
        for payload in Parser::new(0).parse_all(made) {
            match payload.map_err(Error::malformed)? {
                Payload::ImportSection(section) => {
                    let mut imports = ImportSection::new();
                    let parsed = self.parse_import_section(&mut imports, section);
                    parsed.map_err(Error::encoding)?;
                    sections.replace(&imports);
                }
                Payload::FunctionSection(section) => {
                    let mut functions = FunctionSection::new();
                    let parsed = self.parse_function_section(&mut functions, section);
                    parsed.map_err(Error::encoding)?;
                    sections.replace(&functions);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Reencode for BehindTypes {
    type Error = std::convert::Infallible;

    fn type_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(self.0 + index)
    }
}
