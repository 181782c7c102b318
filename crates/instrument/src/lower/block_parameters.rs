//! Blocks with parameters in functions that may be on the stack at a suspend, as blocks without.
//!
//! Binaryen 117 cannot read them, and a slow version cannot be led into one. So the parameters go
//! through locals:
//!
//! ```text
//!   block (param t) … end     ->   local.set $p  block  local.get $p … end
//!   loop $l (param t)         ->   local.set $p  loop $l  local.get $p
//!     … br $l …                      … local.set $p  br $l …
//!   end                            end
//! ```
//!
//! It takes one walk over a body, without its types: those of a block, and so of a branch to it,
//! stand in the module.

use std::collections::HashMap;

use wasm_encoder::{BlockType, CodeSection, Encode, Instruction as I, TypeSection};
use wasmparser::{BrTable, FunctionBody, Operator, ValType};

use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::bodies::{Edit, bodies, edit_instructions, range};
use crate::module::encode::{add_type, encoded_type};
use crate::module::sections::Sections;

/// The module with other bodies; `None` where there is nothing to do. Indices stay as they are.
pub(crate) fn lower(wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Result<Option<Vec<u8>>, Error> {
    let is_lowered = |function: u32| {
        let body = scan.body(function);
        body.is_some_and(|body| body.block_params.is_some()) && graph.may_suspend(function)
    };
    if !scan.defined().any(is_lowered) {
        return Ok(None);
    }
    let mut types = Types {
        first: scan.types.len() as u32,
        results: Vec::new(),
    };
    let mut code = CodeSection::new();
    for (function, body) in scan.defined().zip(bodies(wasm)?) {
        if is_lowered(function) {
            code.raw(&lowered(wasm, scan, function, &body, &mut types)?);
        } else {
            code.raw(&wasm[range(&body)]);
        }
    }
    let mut sections = Sections::split(wasm)?;
    sections.append(&types.section()?)?;
    sections.replace(&code);
    Ok(Some(sections.join()))
}

/// The types of blocks that are added behind the module's own.
struct Types {
    /// The index of the first.
    first: u32,
    /// The results of each; none has parameters.
    results: Vec<Vec<ValType>>,
}

impl Types {
    /// The type of a block that gives these results.
    fn giving(&mut self, results: &[ValType]) -> Result<BlockType, Error> {
        Ok(match results {
            [] => BlockType::Empty,
            [ty] => BlockType::Result(encoded_type(*ty)?),
            _ => {
                let known = self.results.iter().position(|known| known == results);
                let position = known.unwrap_or_else(|| {
                    self.results.push(results.to_vec());
                    self.results.len() - 1
                });
                BlockType::FunctionType(self.first + position as u32)
            }
        })
    }

    fn section(&self) -> Result<TypeSection, Error> {
        let mut section = TypeSection::new();
        for results in &self.results {
            add_type(&mut section, &[], results)?;
        }
        Ok(section)
    }
}

/// The body of a function without parameters of blocks.
fn lowered(
    wasm: &[u8],
    scan: &Scan,
    function: u32,
    body: &FunctionBody<'_>,
    types: &mut Types,
) -> Result<Vec<u8>, Error> {
    let parameters = scan.type_of(function).map_or(0, |ty| ty.params().len());
    let mut groups = Vec::new();
    for group in body.get_locals_reader().map_err(Error::malformed)? {
        groups.push(group.map_err(Error::malformed)?);
    }
    let own: u32 = groups.iter().map(|(count, _)| count).sum();
    let mut lowering = Lowering {
        scan,
        types,
        open: vec![Open::default()],
        locals: HashMap::new(),
        added: Vec::new(),
        first_added: parameters as u32 + own,
    };
    let mut instructions = Vec::new();
    edit_instructions(wasm, body, |_, op| lowering.edit(op), &mut instructions)?;

    groups.extend(lowering.added.iter().map(|ty| (1, *ty)));
    let mut out = Vec::new();
    groups.len().encode(&mut out);
    for (count, ty) in groups {
        count.encode(&mut out);
        encoded_type(ty)?.encode(&mut out);
    }
    out.extend(instructions);
    Ok(out)
}

/// An open block of the body.
#[derive(Default)]
struct Open {
    /// The locals that hold its parameters.
    parameters: Vec<u32>,
    is_loop: bool,
    is_if: bool,
}

/// What a local is added for: the parameter in this position of a block in this depth, ...
#[derive(PartialEq, Eq, Hash)]
enum Added {
    Parameter(usize, usize),
    /// ... a value in this position that goes with a branch, ...
    Value(usize),
    /// ... or a condition or an index above such values.
    Choice,
}

struct Lowering<'a> {
    scan: &'a Scan,
    types: &'a mut Types,
    /// The open blocks, the body first.
    open: Vec<Open>,
    /// The added locals by purpose and type.
    locals: HashMap<(Added, ValType), u32>,
    /// The types of the added locals.
    added: Vec<ValType>,
    first_added: u32,
}

const UNBALANCED: Error = Error::Internal("a branch leads out of its function");

impl Lowering<'_> {
    fn edit(&mut self, op: &Operator<'_>) -> Result<Edit, Error> {
        Ok(match op {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                self.block(op, *blockty)?
            }
            Operator::Else => {
                let open = self.open.last_mut().ok_or(UNBALANCED)?;
                open.is_if = false;
                Edit::Append(gets(&open.parameters))
            }
            Operator::End => self.end()?,
            Operator::Br { relative_depth } => match self.loop_at(*relative_depth)? {
                Some(parameters) => {
                    let mut code = sets(&parameters);
                    code.push(I::Br(*relative_depth));
                    Edit::Replace(code)
                }
                None => Edit::Keep,
            },
            Operator::BrIf { relative_depth } => match self.loop_at(*relative_depth)? {
                Some(parameters) => {
                    let condition = self.local(Added::Choice, ValType::I32);
                    let mut code = vec![I::LocalSet(condition)];
                    code.extend(sets(&parameters));
                    code.extend([I::LocalGet(condition), I::BrIf(*relative_depth)]);
                    code.extend(gets(&parameters));
                    Edit::Replace(code)
                }
                None => Edit::Keep,
            },
            Operator::BrTable { targets } => self.table(targets)?,
            Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. }
                if self.loop_at(*relative_depth)?.is_some() =>
            {
                return Err(Error::Unsupported {
                    what: "a branch on a reference to a loop with parameters".into(),
                    why: "it cannot be rewritten; branch out of a block, and from there",
                });
            }
            _ => Edit::Keep,
        })
    }

    /// The added local for a purpose.
    fn local(&mut self, purpose: Added, ty: ValType) -> u32 {
        let next = self.first_added + self.added.len() as u32;
        let local = *self.locals.entry((purpose, ty)).or_insert(next);
        if local == next {
            self.added.push(ty);
        }
        local
    }

    fn block(&mut self, op: &Operator<'_>, ty: wasmparser::BlockType) -> Result<Edit, Error> {
        let mut open = Open {
            is_loop: matches!(op, Operator::Loop { .. }),
            is_if: matches!(op, Operator::If { .. }),
            ..Open::default()
        };
        let scan = self.scan;
        let ty = match ty {
            wasmparser::BlockType::FuncType(index) => scan.func_type(index),
            _ => None,
        };
        let Some(ty) = ty.filter(|ty| !ty.params().is_empty()) else {
            self.open.push(open);
            return Ok(Edit::Keep);
        };
        let depth = self.open.len();
        for (position, ty) in ty.params().iter().enumerate() {
            let local = self.local(Added::Parameter(depth, position), *ty);
            open.parameters.push(local);
        }
        let ty = self.types.giving(ty.results())?;
        let mut code = Vec::new();
        if open.is_if {
            let condition = self.local(Added::Choice, ValType::I32);
            code.push(I::LocalSet(condition));
            code.extend(sets(&open.parameters));
            code.push(I::LocalGet(condition));
        } else {
            code.extend(sets(&open.parameters));
        }
        code.push(match (open.is_if, open.is_loop) {
            (true, _) => I::If(ty),
            (_, true) => I::Loop(ty),
            _ => I::Block(ty),
        });
        code.extend(gets(&open.parameters));
        self.open.push(open);
        Ok(Edit::Replace(code))
    }

    fn end(&mut self) -> Result<Edit, Error> {
        let open = self.open.pop().ok_or(UNBALANCED)?;
        // Without a second branch, an `if` gives its parameters.
        Ok(match open.is_if && !open.parameters.is_empty() {
            true => {
                let mut code = vec![I::Else];
                code.extend(gets(&open.parameters));
                code.push(I::End);
                Edit::Replace(code)
            }
            false => Edit::Keep,
        })
    }

    /// The parameters that a branch to a label has to set: those of a loop.
    fn loop_at(&self, depth: u32) -> Result<Option<Vec<u32>>, Error> {
        let position = self.open.len().checked_sub(1 + depth as usize);
        let open = &self.open[position.ok_or(UNBALANCED)?];
        let parameters = open.is_loop && !open.parameters.is_empty();
        Ok(parameters.then(|| open.parameters.clone()))
    }

    /// A jump table. Where it leads to a loop with parameters, each label gets a place of its own
    /// from which it is branched to:
    ///
    /// ```text
    ///   block $1  block $0  (br_table $0 $1 …)  end  values; br (label 0)  end  values; br (label 1)
    /// ```
    fn table(&mut self, targets: &BrTable<'_>) -> Result<Edit, Error> {
        let others: wasmparser::Result<Vec<u32>> = targets.targets().collect();
        let mut all = others.map_err(Error::malformed)?;
        all.push(targets.default());
        let mut labels = all.clone();
        labels.sort_unstable();
        labels.dedup();
        let mut leads_to = Vec::new();
        for label in &labels {
            leads_to.push(self.loop_at(*label)?);
        }
        // All labels take the same values.
        let Some(like) = leads_to.iter().flatten().next() else {
            return Ok(Edit::Keep);
        };
        let types: Vec<ValType> = like
            .iter()
            .map(|local| self.added[(local - self.first_added) as usize])
            .collect();
        let values = types.iter().enumerate();
        let values: Vec<u32> = values
            .map(|(position, ty)| self.local(Added::Value(position), *ty))
            .collect();
        let index = self.local(Added::Choice, ValType::I32);

        let mut code = vec![I::LocalSet(index)];
        code.extend(sets(&values));
        code.extend(labels.iter().map(|_| I::Block(BlockType::Empty)));
        code.push(I::LocalGet(index));
        let positions = all.iter().map(|label| {
            let position = labels.binary_search(label);
            position.map_or(0, |position| position as u32)
        });
        let mut positions: Vec<u32> = positions.collect();
        let default = positions.pop().unwrap_or_default();
        code.push(I::BrTable(positions.into(), default));
        let mut open = labels.len() as u32;
        for (label, parameters) in labels.iter().zip(&leads_to) {
            open -= 1;
            code.push(I::End);
            code.extend(gets(&values));
            if let Some(parameters) = parameters {
                code.extend(sets(parameters));
            }
            code.push(I::Br(label + open));
        }
        Ok(Edit::Replace(code))
    }
}

/// Takes values off the stack into locals.
fn sets(locals: &[u32]) -> Vec<I<'static>> {
    locals
        .iter()
        .rev()
        .map(|local| I::LocalSet(*local))
        .collect()
}

/// Puts the values of locals on the stack.
fn gets(locals: &[u32]) -> Vec<I<'static>> {
    locals.iter().map(|local| I::LocalGet(*local)).collect()
}

#[cfg(test)]
mod tests {
    use wasmparser::Validator;

    use super::*;

    /// Branches of all kinds to loops with parameters, from inside of blocks and branches of `if`s
    /// that have some too.
    #[test]
    fn no_block_has_parameters_then() {
        let source = wat::parse_str(
            r#"(module
              (import "m" "wait" (func $wait))
              (func (param i32) (result i64 i32)
                (i64.const 1) (i32.const 2)
                (loop $outer (param i64 i32) (result i64 i32)
                  (call $wait)
                  (br_if $outer (local.get 0))
                  (loop $inner (param i64 i32) (result i64 i32)
                    (if (param i64 i32) (result i64 i32) (local.get 0)
                      (then (br $inner))
                      (else (i32.const 1) (i32.add)))
                    (if (param i64 i32) (result i64 i32) (local.get 0)
                      (then (drop) (i32.const 3)))
                    (block $behind (param i64 i32) (result i64 i32)
                      (br_table $inner $behind $outer $inner 3 (local.get 0)))))))"#,
        )
        .expect("the text is right");
        let scan = Scan::of(&source).expect("it is a module");
        let graph = CallGraph::new(&scan, |function| function == 0);
        let made = lower(&source, &scan, &graph).expect("it can be lowered");
        let made = made.expect("there is something to do");
        Validator::new().validate_all(&made).expect("it is valid");
        let scan = Scan::of(&made).expect("it is a module");
        assert!(scan.bodies.iter().all(|body| body.block_params.is_none()));
    }
}
