//! Where the versions stand in the module: fast versions in place; behind all functions of
//! asyncify's the slow versions, each with those for its loops; and at the end the functions that
//! choose between two versions.

use std::collections::HashMap;

use wasm_encoder::{CodeSection, Encode, FunctionSection, Instruction, NameMap};
use wasmparser::Operator;

use super::asyncified::Body;
use super::check::Check;
use super::osr;
use super::versions::{StartTest, Version, Versions};
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::{Edit, edit};
use crate::module::names::{ENTER, OSR, SLOW};
use crate::module::sections::Sections;

/// A module as asyncify has written it.
pub(super) struct Asyncified<'a> {
    pub wasm: &'a [u8],
    pub scan: &'a Scan,
    pub bodies: &'a [Body<'a>],
    /// The global with asyncify's state.
    pub state: u32,
    pub check: Option<Check>,
}

/// What is written, section by section.
#[derive(Default)]
struct Written {
    code: CodeSection,
    /// The types of the added functions.
    functions: FunctionSection,
    /// For each added function its index, the function that it is a version of, and what stands
    /// behind that function's name.
    names: Vec<(u32, u32, String)>,
}

impl Written {
    fn add(&mut self, index: u32, of: u32, ending: String, ty: u32, body: &[u8]) {
        self.code.raw(body);
        self.functions.function(ty);
        self.names.push((index, of, ending));
    }
}

impl Asyncified<'_> {
    /// Writes the module with its versions. `instrumented` has the functions that restore frames,
    /// in rising order.
    pub(super) fn write(
        &self,
        instrumented: &[u32],
        versions: &Versions,
    ) -> Result<Vec<u8>, Error> {
        let scan = self.scan;
        let added = versions.added.len() + versions.enter.len();
        let last = (scan.functions.len() + added) as u32;
        let mut enter = versions.enter.clone();
        enter.extend(self.check.map(|check| (check.import, last)));

        let mut written = Written::default();
        for (function, body) in scan.defined().zip(self.bodies) {
            if let Some(fast) = versions.fast.get(&function) {
                written.code.raw(fast);
            } else if instrumented.binary_search(&function).is_ok() {
                let body = self.restoring_body(function, &enter, &HashMap::new(), 0)?;
                written.code.raw(&body);
            } else {
                written.code.raw(&self.wasm[body.range()]);
            }
        }
        let slow_of = self.write_added(versions, &enter, &mut written)?;
        self.write_enter(versions, &slow_of, &mut written);
        if let Some(check) = self.check {
            let ty = scan.functions[check.import as usize];
            let body = check.restoring_body(self.state);
            written.add(last, check.import, ENTER.to_owned(), ty, &body);
        }

        let mut sections = Sections::split(self.wasm)?;
        sections.replace(&written.code);
        sections.append(&versions.types)?;
        sections.append(&written.functions)?;
        sections.set_function_names(&names(scan, &written.names));
        Ok(sections.join())
    }

    /// Writes the slow versions and those for loops; gives the slow versions by their functions.
    fn write_added(
        &self,
        versions: &Versions,
        enter: &HashMap<u32, u32>,
        written: &mut Written,
    ) -> Result<HashMap<u32, u32>, Error> {
        let scan = self.scan;
        let mut slow_of = HashMap::new();
        for (index, added) in (scan.functions.len() as u32..).zip(&versions.added) {
            let function = added.function;
            match &added.version {
                Version::Slow { loops, locals } => {
                    let ty = scan.functions[function as usize];
                    let body = self.restoring_body(function, enter, loops, *locals)?;
                    written.add(index, function, SLOW.to_owned(), ty, &body);
                    slow_of.insert(function, index);
                }
                Version::Osr { body, ty } => {
                    let ty = scan.types.len() as u32 + ty;
                    written.add(index, function, format!("{OSR}{index}"), ty, body);
                }
            }
        }
        Ok(slow_of)
    }

    /// Writes the functions that choose between a slow version and the fast one.
    fn write_enter(&self, versions: &Versions, slow_of: &HashMap<u32, u32>, written: &mut Written) {
        let mut entered: Vec<(u32, u32)> = versions.enter.iter().map(|(f, e)| (*e, *f)).collect();
        entered.sort_unstable();
        for (index, function) in entered {
            let test = StartTest::of(self.scan, function, slow_of[&function]);
            let mut body = vec![0];
            test.encode(self.state, &mut body);
            test.call(function, &mut body);
            Instruction::End.encode(&mut body);
            let ty = self.scan.functions[function as usize];
            written.add(index, function, ENTER.to_owned(), ty, &body);
        }
    }

    /// The body of a version that restores frames: it calls functions by those in `enter`, and at
    /// the heads of `loops` goes on to the functions for these.
    fn restoring_body(
        &self,
        function: u32,
        enter: &HashMap<u32, u32>,
        loops: &HashMap<usize, u32>,
        locals: usize,
    ) -> Result<Vec<u8>, Error> {
        let body = &self.bodies[(function - self.scan.imported_functions) as usize];
        edit(self.wasm, &body.code, |position, operator| {
            if let Operator::Call { function_index } = operator
                && let Some(enter) = enter.get(function_index)
            {
                return Ok(Edit::Replace(vec![Instruction::Call(*enter)]));
            }
            Ok(match loops.get(&position) {
                Some(osr) => Edit::Append(osr::go_on(self.state, locals, *osr)),
                None => Edit::Keep,
            })
        })
    }
}

/// The names of all functions. An added one is named after the function that it is a version of.
fn names(scan: &Scan, added: &[(u32, u32, String)]) -> NameMap {
    let mut known: Vec<(u32, String)> = scan.names.iter().map(|(i, n)| (*i, n.clone())).collect();
    for (index, function, ending) in added {
        if let Some(name) = scan.names.get(function) {
            known.push((*index, format!("{name}{ending}")));
        }
    }
    known.sort_unstable();
    let mut names = NameMap::new();
    for (index, name) in &known {
        names.append(*index, name);
    }
    names
}
