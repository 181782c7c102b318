//! Validates a module, and refuses one whose code is nested deeper than Binaryen can follow.
//!
//! Binaryen keeps a body as a tree: the children of a block are its statements, those of an
//! addition its operands. Some of its passes go down the tree by recursion, and some take time with
//! the square of its depth. Its process has limits of stack and time (`binaryen/process.rs`). The
//! check here refuses such a function before, and can name it. What compilers write is hundreds of
//! levels deep, and thousands at most.

use rayon::prelude::*;
use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader, Parser,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// The deepest tree, in levels. At four times this, nested additions take Binaryen more than 100 s.
pub(crate) const MAX_DEPTH: u32 = 10_000;

/// Why a module was refused.
pub(crate) enum Failure {
    /// It is not valid.
    Invalid(wasmparser::BinaryReaderError),
    /// A function is nested too deeply, from this offset in the module on, in bytes.
    TooDeep { function: u32, offset: u64 },
}

impl From<wasmparser::BinaryReaderError> for Failure {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Validates all of a core module, its bodies on all processors. Of several failures it gives the
/// one that comes first in the module.
pub(crate) fn validate(wasm: &[u8], features: WasmFeatures) -> Result<(), Failure> {
    let mut validator = Validator::new_with_features(features);
    let mut functions = Vec::new();
    let mut sections = || {
        for payload in Parser::new(0).parse_all(wasm) {
            if let ValidPayload::Func(function, body) = validator.payload(&payload?)? {
                functions.push((function, body));
            }
        }
        Ok(())
    };
    let outside = sections();
    let inside: Vec<Result<(), Failure>> = functions
        .into_par_iter()
        .map_init(
            FuncValidatorAllocations::default,
            |spare, (function, body)| {
                *spare = check(function, &body, std::mem::take(spare))?;
                Ok(())
            },
        )
        .collect();
    inside.into_iter().collect::<Result<(), Failure>>()?;
    outside
}

/// Validates a body, and gives back the memory that the validator used for it.
fn check(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    spare: FuncValidatorAllocations,
) -> Result<FuncValidatorAllocations, Failure> {
    let index = function.index;
    let mut validator = function.into_validator(spare);
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let mut operators = OperatorsReader::new(reader);
    let mut tree = Tree::default();
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        let takes = operator.operator_arity(&validator).map(|(takes, _)| takes);
        validator.op(offset, &operator)?;
        let height = validator.operand_stack_height() as usize;
        if tree.add(&operator, takes, height) > MAX_DEPTH {
            return Err(Failure::TooDeep {
                function: index,
                offset,
            });
        }
    }
    operators.finish()?;
    Ok(validator.into_allocations())
}

/// The depths of the trees that a body has so far.
#[derive(Default)]
struct Tree {
    /// The depth of the tree behind each operand on the stack.
    operands: Vec<u32>,
    /// The depth of the deepest statement in each open block.
    blocks: Vec<u32>,
}

impl Tree {
    /// Adds an instruction that takes `takes` operands. Behind it, `height` operands are on the
    /// stack. Gives the depth of the tree that the instruction is part of.
    fn add(&mut self, operator: &Operator<'_>, takes: Option<u32>, height: usize) -> u32 {
        let before = self.operands.len();
        // Where the number is not known, as at the end of a block, it is what is missing, and one.
        let takes = takes.map_or(before.saturating_sub(height) + 1, |takes| takes as usize);
        let kept = before.saturating_sub(takes);
        let deepest = self.operands[kept..].iter().copied().max().unwrap_or(0);
        let depth = match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Try { .. }
            | Operator::TryTable { .. } => {
                self.operands.truncate(kept);
                self.operands.resize(height, deepest);
                self.blocks.push(deepest);
                // Every open block is one level above it.
                return self.blocks.len() as u32 + deepest;
            }
            Operator::End => {
                let inside = self.blocks.pop().unwrap_or(0).max(deepest);
                inside.saturating_add(1)
            }
            _ => deepest.saturating_add(1),
        };
        self.operands.truncate(kept);
        if height > self.operands.len() {
            self.operands.resize(height, depth);
        } else {
            self.operands.truncate(height);
        }
        if let Some(block) = self.blocks.last_mut() {
            *block = depth.max(*block);
        }
        depth
    }
}
