//! Checks, at which a guest can be suspended that never calls the host.
//!
//! A check is a call of an import of dormouse's own. It stands at the head of every loop, and at
//! the start of some functions, which are chosen so that every cycle of calls goes through one of
//! them ([`cycles`]). What runs without end repeats a loop or a cycle of calls, and so makes checks
//! again and again.
//!
//! ```text
//!   loop …    ->   loop (call check) …            asyncify sees an import that may suspend
//!                                                 (`two_version` makes a load and a branch of it)
//! ```
//!
//! The import stands behind all others, so that the indices of the defined functions move by one.
//! The rest of the pipeline works on the module with checks as if it were the source.

mod cycles;

use dormouse_model::shape;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, EntityType, ImportSection, Instruction, Module, TypeSection};
use wasmparser::{FunctionBody, Operator, Parser};

use self::cycles::checked_functions;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::sections::Sections;
use crate::options::HostFunction;

/// The function that the module imports for its checks.
pub(crate) fn import() -> HostFunction {
    HostFunction {
        params: Vec::new(),
        results: Vec::new(),
        blocks: true,
    }
}

/// Rewrites a module so that it calls an added import at the head of each loop, and at the start of
/// functions that call themselves by others. Indices of defined functions grow by one.
pub(crate) fn insert_checks(source: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(source)?;
    let mut inserter = Inserter {
        check_import: scan.imported_functions,
        has_entry_check: checked_functions(source, &scan)?,
        next_function: scan.imported_functions,
    };
    let with_import = add_import(source, &scan)?;
    let mut module = Module::new();
    inserter
        .parse_core_module(&mut module, Parser::new(0), &with_import)
        .map_err(Error::encoding)?;
    Ok(module.finish())
}

/// Adds the import. The indices of functions are wrong until the module is encoded again.
fn add_import(source: &[u8], scan: &Scan) -> Result<Vec<u8>, Error> {
    let mut sections = Sections::split(source)?;
    let mut types = TypeSection::new();
    types.ty().function([], []);
    sections.append(&types)?;
    let mut imports = ImportSection::new();
    let (module, name) = shape::PREEMPT;
    imports.import(module, name, EntityType::Function(scan.types.len() as u32));
    sections.append(&imports)?;
    Ok(sections.join())
}

/// Encodes a module again, with checks.
struct Inserter {
    /// The index of the import, which follows those that there were.
    check_import: u32,
    /// For every function whether it begins with a check.
    has_entry_check: Vec<bool>,
    /// The index that the function whose body is next has had in the source.
    next_function: u32,
}

impl Reencode for Inserter {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        Ok(index + u32::from(index >= self.check_import))
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let check = Instruction::Call(self.check_import);
        let mut function = self.new_function_with_parsed_locals(&body)?;
        if self.has_entry_check[self.next_function as usize] {
            function.instruction(&check);
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            let is_loop = matches!(operator, Operator::Loop { .. });
            function.instruction(&self.instruction(operator)?);
            if is_loop {
                function.instruction(&check);
            }
        }
        code.function(&function);
        self.next_function += 1;
        Ok(())
    }
}
