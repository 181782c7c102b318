//! Validates a module, and refuses one whose code is nested deeper than Binaryen can follow.
//!
//! Binaryen keeps a body as a tree: a block's children are its statements, an addition's its operands. Some of
//! its passes go down that tree by recursion, and some take time with the square of its depth. It has limits of
//! both (`binaryen/child.rs`); here is said early, and of which function. What compilers write is hundreds of levels
//! deep, and thousands at most.

use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader, Parser,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// The deepest tree. At four times this, additions in each other take Binaryen more than 100 s.
pub(super) const MOST: u32 = 10_000;

/// Why a module was not taken.
pub(super) enum Failure {
    Invalid(wasmparser::BinaryReaderError),
    TooDeep { function: u32, offset: u64 },
}

impl From<wasmparser::BinaryReaderError> for Failure {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Validates all of a core module.
pub(super) fn validate(wasm: &[u8], features: WasmFeatures) -> Result<(), Failure> {
    let mut validator = Validator::new_with_features(features);
    let mut spare = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(wasm) {
        if let ValidPayload::Func(function, body) = validator.payload(&payload?)? {
            spare = check(function, &body, spare)?;
        }
    }
    Ok(())
}

/// Validates a body; gives the memory back that was used for it.
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
        if tree.add(&operator, takes, height) > MOST {
            return Err(Failure::TooDeep {
                function: index,
                offset,
            });
        }
    }
    operators.finish()?;
    Ok(validator.into_allocations())
}

/// How deep the trees are that a body has so far.
#[derive(Default)]
struct Tree {
    /// Of each operand.
    operands: Vec<u32>,
    /// The deepest statement of each open block.
    blocks: Vec<u32>,
}

impl Tree {
    /// Takes an instruction, behind which there are so many operands; gives the depth of what it belongs to.
    fn add(&mut self, operator: &Operator<'_>, takes: Option<u32>, height: usize) -> u32 {
        let before = self.operands.len();
        // Where it is not known, as at the end of a block: all that is gone, and one.
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
                // A block adds a level to all that is open.
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
