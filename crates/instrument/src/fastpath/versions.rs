//! The functions that are made of asyncify's, and where they stand: fast versions in place, behind all others each slow
//! version with those for its loops, and at the end what goes on to one of two versions.

use std::collections::{HashMap, HashSet};

use wasm_encoder::{
    CodeSection, Encode, Instruction, NameMap, NameSection, SectionId, TypeSection,
};
use wasmparser::Operator;

use super::branch::Check;
use super::fast::Fast;
use super::{Defined, ENTER, OSR, REWINDING, SLOW, arguments, osr};
use crate::Error;
use crate::prepare::{add_type, append, content};
use crate::scan::Scan;
use crate::sections::Sections;

/// What is made of the instrumented functions.
#[derive(Default)]
pub(super) struct Versions {
    /// The fast body of each function that has two.
    fast: HashMap<u32, Vec<u8>>,
    /// Slow versions, each with those for its loops behind it.
    added: Vec<Added>,
    /// Of functions without a test at their start, the one that has it.
    enter: HashMap<u32, u32>,
    /// The types of versions for loops.
    types: TypeSection,
}

/// A function that the module did not have.
struct Added {
    /// What it is a version of.
    function: u32,
    version: Version,
}

impl Added {
    fn is_slow(&self) -> bool {
        matches!(self.version, Version::Slow { .. })
    }
}

enum Version {
    Slow {
        /// The functions for loops, by the places of these.
        loops: HashMap<usize, u32>,
        locals: usize,
    },
    /// Goes on from a loop, at full speed.
    Osr {
        body: Vec<u8>,
        /// Its place among the added types.
        ty: u32,
    },
}

impl Versions {
    /// Adds the versions of a function. Those in `entered` get a test at their start.
    pub fn add(
        &mut self,
        scan: &Scan,
        function: u32,
        fast: &Fast<'_>,
        entries: &[osr::LoopEntry],
        entered: &HashSet<u32>,
    ) -> Result<(), Error> {
        let slow = (scan.functions.len() + self.added.len()) as u32;
        let mut bytes = fast.locals().to_vec();
        if entered.contains(&function) {
            StartTest::of(scan, function, slow).encode(fast.state, &mut bytes);
        }
        fast.write_all(&mut bytes);
        self.fast.insert(function, bytes);
        let loops = entries.iter().map(|entry| entry.place);
        self.added.push(Added {
            function,
            version: Version::Slow {
                loops: loops.zip(slow + 1..).collect(),
                locals: fast.types.len(),
            },
        });
        if entries.is_empty() {
            return Ok(());
        }
        let ty = self.types.len();
        let results = scan.func_type(scan.functions[function as usize]);
        let results = results.map_or(&[][..], |ty| ty.results());
        add_type(&mut self.types, &fast.types, results)?;
        for entry in entries {
            let body = osr::body(fast, entry, slow + 1)?;
            let version = Version::Osr { body, ty };
            self.added.push(Added { function, version });
        }
        Ok(())
    }

    /// Adds what has the test for functions that do not.
    pub fn enter(&mut self, scan: &Scan, entered: &HashSet<u32>) {
        let first = (scan.functions.len() + self.added.len()) as u32;
        let slow = self.added.iter().filter(|added| added.is_slow());
        let direct = slow
            .map(|added| added.function)
            .filter(|function| !entered.contains(function));
        self.enter = direct.zip(first..).collect();
    }
}

/// The test at the start of a function.
struct StartTest {
    params: u32,
    slow: u32,
}

impl StartTest {
    fn of(scan: &Scan, function: u32, slow: u32) -> Self {
        let ty = scan.func_type(scan.functions[function as usize]);
        let params = ty.map_or(0, |ty| ty.params().len() as u32);
        Self { params, slow }
    }

    fn encode(&self, state: u32, out: &mut Vec<u8>) {
        for instruction in [
            Instruction::GlobalGet(state),
            Instruction::I32Const(REWINDING),
            Instruction::I32Eq,
            Instruction::If(wasm_encoder::BlockType::Empty),
        ] {
            instruction.encode(out);
        }
        self.call(self.slow, out);
        Instruction::Return.encode(out);
        Instruction::End.encode(out);
    }

    fn call(&self, function: u32, out: &mut Vec<u8>) {
        arguments(self.params, out);
        Instruction::Call(function).encode(out);
    }
}

/// Asyncify's output.
pub(super) struct Module<'a> {
    pub wasm: &'a [u8],
    pub scan: &'a Scan,
    pub bodies: &'a [Defined<'a>],
    pub state: u32,
    pub check: Option<Check>,
}

impl Module<'_> {
    /// Puts fast versions in place, and all others where the top of this file says.
    pub fn write(
        &self,
        sections: &mut Sections,
        instrumented: &[u32],
        versions: &Versions,
    ) -> Result<(), Error> {
        let scan = self.scan;
        let added = versions.added.len() + versions.enter.len();
        let last = (scan.functions.len() + added) as u32;
        let mut enter = versions.enter.clone();
        enter.extend(self.check.map(|check| (check.import, last)));
        let mut code = CodeSection::new();
        for (function, body) in (scan.imported_functions..).zip(self.bodies) {
            if let Some(fast) = versions.fast.get(&function) {
                code.raw(fast);
            } else if instrumented.binary_search(&function).is_ok() {
                code.raw(&self.restoring_body(function, &enter, &HashMap::new(), 0)?);
            } else {
                code.raw(&self.wasm[body.range()]);
            }
        }
        let (mut types, mut names) = (Vec::new(), Vec::new());
        let mut slow_of = HashMap::new();
        for (index, added) in (scan.functions.len() as u32..).zip(&versions.added) {
            let function = added.function;
            match &added.version {
                Version::Slow { loops, locals } => {
                    code.raw(&self.restoring_body(function, &enter, loops, *locals)?);
                    types.push(scan.functions[function as usize]);
                    names.push((index, function, SLOW.to_owned()));
                    slow_of.insert(function, index);
                }
                Version::Osr { body, ty } => {
                    code.raw(body);
                    types.push(scan.types.len() as u32 + ty);
                    names.push((index, function, format!("{OSR}{index}")));
                }
            }
        }
        let mut entered: Vec<(u32, u32)> = versions.enter.iter().map(|(f, e)| (*e, *f)).collect();
        entered.sort_unstable();
        for (index, function) in entered {
            let entry = StartTest::of(scan, function, slow_of[&function]);
            let mut body = vec![0];
            entry.encode(self.state, &mut body);
            entry.call(function, &mut body);
            Instruction::End.encode(&mut body);
            code.raw(&body);
            types.push(scan.functions[function as usize]);
            names.push((index, function, ENTER.to_owned()));
        }
        if let Some(check) = self.check {
            code.raw(&check.restoring(self.state));
            types.push(scan.functions[check.import as usize]);
            names.push((last, check.import, ENTER.to_owned()));
        }
        sections.replace(SectionId::Code, content(&code));
        append(
            sections,
            SectionId::Type,
            versions.types.len(),
            &versions.types,
        )?;
        let mut functions = Vec::new();
        types.iter().for_each(|ty| ty.encode(&mut functions));
        sections.append(SectionId::Function, types.len() as u32, &functions)?;
        name(sections, scan, &names);
        Ok(())
    }

    /// A body of asyncify's that calls functions by way of those that have the test at the start, and in loops goes on
    /// to the functions for these.
    fn restoring_body(
        &self,
        function: u32,
        enter: &HashMap<u32, u32>,
        loops: &HashMap<usize, u32>,
        locals: usize,
    ) -> Result<Vec<u8>, Error> {
        let body = &self.bodies[(function - self.scan.imported_functions) as usize];
        let range = body.range();
        let mut copied = range.start;
        let mut out = Vec::with_capacity(range.len());
        let mut reader = body.body.get_operators_reader().map_err(Error::malformed)?;
        for place in 0.. {
            if reader.eof() {
                break;
            }
            let before = reader.original_position() as usize;
            let operator = reader.read().map_err(Error::malformed)?;
            let behind = reader.original_position() as usize;
            if let Operator::Call { function_index } = operator
                && let Some(enter) = enter.get(&function_index)
            {
                out.extend_from_slice(&self.wasm[copied..before]);
                Instruction::Call(*enter).encode(&mut out);
                copied = behind;
            } else if let Some(osr) = loops.get(&place) {
                out.extend_from_slice(&self.wasm[copied..behind]);
                osr::leave(self.state, locals, *osr, &mut out);
                copied = behind;
            }
        }
        out.extend_from_slice(&self.wasm[copied..range.end]);
        Ok(out)
    }
}

/// Names the functions added, each after the one it belongs to.
fn name(sections: &mut Sections, scan: &Scan, added: &[(u32, u32, String)]) {
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
    sections.remove(SectionId::Custom);
    let mut section = NameSection::new();
    section.functions(&names);
    sections.add_custom("name", &section.as_custom().data);
}
