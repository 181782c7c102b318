//! A program with its exceptions in the form that was there first.
//!
//! `try_table (catch t L) … end` is `try … catch t; br L; end`, with as many labels around its body.
//! And some blocks become what does nothing in that form: a `try` that delegates to where it
//! stands, or one that throws again whatever it catches.

use fastrand::Rng;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{BlockType, CodeSection, Instruction as I, Module};
use wasmparser::{Catch, Operator, Parser};

/// The program in that form. `rethrows` says whether it may throw again.
pub fn form(wasm: &[u8], rethrows: bool, random: &mut Rng) -> Vec<u8> {
    let mut module = Module::new();
    let mut older = Older { rethrows, random };
    older
        .parse_core_module(&mut module, Parser::new(0), wasm)
        .expect("a program of ours");
    module.finish()
}

struct Older<'a> {
    rethrows: bool,
    random: &'a mut Rng,
}

enum Open {
    Other,
    Table(Vec<Catch>),
    Delegates,
    Rethrows,
}

impl Reencode for Older<'_> {
    type Error = std::convert::Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut open = vec![Open::Other];
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            match operator {
                Operator::TryTable { try_table } => {
                    function.instruction(&I::Try(self.block_type(try_table.ty)?));
                    open.push(Open::Table(try_table.catches));
                    continue;
                }
                Operator::Block {
                    blockty: wasmparser::BlockType::Empty,
                } => {
                    let kind = match self.random.u8(..4) {
                        0 => Open::Delegates,
                        1 if self.rethrows => Open::Rethrows,
                        _ => Open::Other,
                    };
                    function.instruction(&match kind {
                        Open::Other => I::Block(BlockType::Empty),
                        _ => I::Try(BlockType::Empty),
                    });
                    open.push(kind);
                    continue;
                }
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    open.push(Open::Other);
                }
                Operator::End => match open.pop() {
                    Some(Open::Table(catches)) => {
                        for catch in catches {
                            let label = match catch {
                                Catch::One { tag, label } => {
                                    function.instruction(&I::Catch(tag));
                                    label
                                }
                                Catch::All { label } => {
                                    function.instruction(&I::CatchAll);
                                    label
                                }
                                _ => unreachable!("programs with references keep their form"),
                            };
                            function.instruction(&I::Br(label + 1));
                        }
                    }
                    Some(Open::Delegates) => {
                        function.instruction(&I::Delegate(0));
                        continue;
                    }
                    Some(Open::Rethrows) => {
                        function.instruction(&I::CatchAll);
                        function.instruction(&I::Rethrow(0));
                    }
                    _ => {}
                },
                _ => {}
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}
