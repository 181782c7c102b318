//! The functions that are made of each function of asyncify's.

use std::collections::{HashMap, HashSet};

use wasm_encoder::{BlockType, Encode, Instruction, TypeSection};

use super::asyncified::{REWINDING, arguments};
use super::fast_body::FastBody;
use super::folding;
use super::osr;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::encode::add_type;

/// What is made of the instrumented functions.
#[derive(Default)]
pub(super) struct Versions {
    /// The fast body of each function that has two versions.
    pub fast: HashMap<u32, Vec<u8>>,
    /// The functions behind all others: slow versions, each with those for its loops behind it.
    pub added: Vec<Added>,
    /// For each function without the test for rewinding, the function that has it and is called in
    /// its place.
    pub enter: HashMap<u32, u32>,
    /// The types of the functions for loops.
    pub types: TypeSection,
}

/// A function that the module did not have.
pub(super) struct Added {
    /// The function that it is a version of.
    pub function: u32,
    pub version: Version,
}

/// Which version it is.
pub(super) enum Version {
    /// Restores frames.
    Slow {
        /// The functions for loops, by the positions of the loops in the body.
        loops: HashMap<usize, u32>,
        /// How many parameters and other locals it has.
        locals: usize,
    },
    /// Begins at a loop, in the normal state.
    Osr {
        body: Vec<u8>,
        /// The position of its type among the added ones.
        ty: u32,
    },
}

impl Added {
    fn is_slow(&self) -> bool {
        matches!(self.version, Version::Slow { .. })
    }
}

impl Versions {
    /// Adds the versions of a function. Those in `entered_indirectly` get the test for rewinding at
    /// their start.
    pub(super) fn add(
        &mut self,
        scan: &Scan,
        function: u32,
        fast: &FastBody<'_>,
        entries: &[osr::LoopEntry],
        entered_indirectly: &HashSet<u32>,
    ) -> Result<(), Error> {
        let slow = (scan.functions.len() + self.added.len()) as u32;
        let mut bytes = fast.locals().to_vec();
        if entered_indirectly.contains(&function) {
            StartTest::of(scan, function, slow).encode(fast.state, &mut bytes);
        }
        folding::write(fast, &mut bytes)?;
        self.fast.insert(function, bytes);
        let loops = entries.iter().map(|entry| entry.position);
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
        let results = scan.type_of(function).map_or(&[][..], |ty| ty.results());
        add_type(&mut self.types, &fast.types, results)?;
        for entry in entries {
            let body = osr::body(fast, entry, slow + 1)?;
            let version = Version::Osr { body, ty };
            self.added.push(Added { function, version });
        }
        Ok(())
    }

    /// Adds a function with the test for rewinding for each function that has none, to be called in
    /// its place.
    pub(super) fn add_enter(&mut self, scan: &Scan, entered_indirectly: &HashSet<u32>) {
        let first = (scan.functions.len() + self.added.len()) as u32;
        let slow = self.added.iter().filter(|added| added.is_slow());
        let without_test = slow
            .map(|added| added.function)
            .filter(|function| !entered_indirectly.contains(function));
        self.enter = without_test.zip(first..).collect();
    }
}

/// The test at the start of a function whether the guest rewinds.
pub(super) struct StartTest {
    /// How many parameters the function has.
    params: u32,
    /// Its slow version.
    slow: u32,
}

impl StartTest {
    pub(super) fn of(scan: &Scan, function: u32, slow: u32) -> Self {
        let ty = scan.type_of(function);
        let params = ty.map_or(0, |ty| ty.params().len() as u32);
        Self { params, slow }
    }

    /// Writes `if rewinding { return slow(parameters) }`.
    pub(super) fn encode(&self, state: u32, out: &mut Vec<u8>) {
        for instruction in [
            Instruction::GlobalGet(state),
            Instruction::I32Const(REWINDING),
            Instruction::I32Eq,
            Instruction::If(BlockType::Empty),
        ] {
            instruction.encode(out);
        }
        self.call(self.slow, out);
        Instruction::Return.encode(out);
        Instruction::End.encode(out);
    }

    /// Writes a call with the function's own parameters.
    pub(super) fn call(&self, function: u32, out: &mut Vec<u8>) {
        for argument in arguments(self.params) {
            argument.encode(out);
        }
        Instruction::Call(function).encode(out);
    }
}
