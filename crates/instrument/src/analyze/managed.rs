//! Objects that a garbage collector looks after, and typed references to functions: *managed*
//! references.
//!
//! Nobody can read an object from outside, and an object may refer to others without end. So a
//! module with these can be suspended only where it holds no such reference, neither in a function
//! (`native/held.rs`) nor in what outlives every function: a global or a table. Of these the ones
//! that never change may hold some, if a fresh instance makes the same again.

use wasmparser::{
    CompositeInnerType, ConstExpr, ElementItems, FieldType, Operator, Parser, Payload, TableInit,
    ValType,
};

use super::scan::{Body, Scan};
use super::types::is_managed;
use crate::error::Error;

/// Why a module is refused that keeps an object where it outlives every function.
const LASTING: &str = "an object that outlives a suspend cannot be serialized";

/// Why dropped segments are refused beside objects.
const DROPPED: &str = "whether an element segment was dropped cannot be serialized in a module with \
                       objects or typed references";

/// Why exceptions are refused beside objects.
const EXCEPTIONS: &str = "exceptions cannot be rewritten in a module with objects or typed \
                          references; build it without exceptions";

/// Refuses a module of which some part that is no function cannot be suspended.
pub(crate) fn check_state(wasm: &[u8], scan: &Scan) -> Result<(), Error> {
    let drops = |body: &Body| body.drops_elements;
    if let Some(position) = scan.bodies.iter().position(drops) {
        let function = scan.imported_functions + position as u32;
        return Err(Error::Unsupported {
            what: format!(
                "`{}`, which drops an element segment,",
                scan.function_name(function)
            ),
            why: DROPPED,
        });
    }
    let has_exceptions = |body: &Body| body.exceptions;
    let with_exceptions = scan.bodies.iter().position(has_exceptions);
    if with_exceptions.is_some() || !scan.tags.is_empty() {
        let what = match with_exceptions {
            Some(position) => {
                let function = scan.imported_functions + position as u32;
                format!("`{}`, which has exceptions,", scan.function_name(function))
            }
            None => "a tag of exceptions".into(),
        };
        return Err(Error::Unsupported {
            what,
            why: EXCEPTIONS,
        });
    }
    let fixed = Fixed::of(wasm)?;
    for (index, global) in scan.globals.iter().enumerate() {
        let is_fixed = !global.mutable && fixed.globals.get(index) == Some(&true);
        if is_managed(global.content_type) && !is_fixed {
            return Err(lasting("global", index));
        }
    }
    let changed = scan.changed_tables();
    for (index, ty) in scan.tables.iter().enumerate() {
        let is_fixed = !changed.contains(&(index as u32)) && fixed.tables.get(index) == Some(&true);
        if is_managed(ValType::Ref(*ty)) && !is_fixed {
            return Err(lasting("table", index));
        }
    }
    match fixed.segments.iter().position(|is_fixed| !is_fixed) {
        Some(index) => Err(lasting("element segment", index)),
        None => Ok(()),
    }
}

fn lasting(what: &str, index: usize) -> Error {
    Error::Unsupported {
        what: format!("{what} {index}, which holds references to objects,"),
        why: LASTING,
    }
}

/// Which globals, tables and element segments hold at the start what every instance makes in the
/// same way, and what no instruction changes: objects without fields that can be changed.
#[derive(Default)]
struct Fixed {
    /// For each type whether an object of it never changes.
    types: Vec<bool>,
    globals: Vec<bool>,
    tables: Vec<bool>,
    segments: Vec<bool>,
}

impl Fixed {
    fn of(wasm: &[u8]) -> Result<Self, Error> {
        let mut fixed = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.map_err(Error::malformed)?;
            fixed.payload(payload).map_err(Error::malformed)?;
        }
        Ok(fixed)
    }

    fn payload(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group?.into_types() {
                        self.types.push(never_changes(&ty.composite_type.inner));
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let initial = global?.init_expr;
                    self.globals.push(self.is_same_again(&initial));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables.push(match table?.init {
                        TableInit::RefNull => true,
                        TableInit::Expr(initial) => self.is_same_again(&initial),
                    });
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let mut is_fixed = true;
                    if let ElementItems::Expressions(_, items) = element?.items {
                        for item in items {
                            is_fixed &= self.is_same_again(&item?);
                        }
                    }
                    self.segments.push(is_fixed);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_same_again(&self, expression: &ConstExpr<'_>) -> bool {
        let never_changes = |ty: u32| self.types.get(ty as usize) == Some(&true);
        expression
            .get_operators_reader()
            .into_iter()
            .all(|operator| match operator {
                Ok(
                    Operator::StructNew {
                        struct_type_index: ty,
                    }
                    | Operator::StructNewDefault {
                        struct_type_index: ty,
                    }
                    | Operator::ArrayNew {
                        array_type_index: ty,
                    }
                    | Operator::ArrayNewDefault {
                        array_type_index: ty,
                    }
                    | Operator::ArrayNewFixed {
                        array_type_index: ty,
                        ..
                    },
                ) => never_changes(ty),
                Ok(Operator::GlobalGet { global_index }) => {
                    self.globals.get(global_index as usize) == Some(&true)
                }
                Ok(_) => true,
                Err(_) => false,
            })
    }
}

/// Whether no instruction can change a value of this type.
fn never_changes(ty: &CompositeInnerType) -> bool {
    let is_fixed = |field: &FieldType| !field.mutable;
    match ty {
        CompositeInnerType::Func(_) => true,
        CompositeInnerType::Array(array) => is_fixed(&array.0),
        CompositeInnerType::Struct(fields) => fields.fields.iter().all(is_fixed),
        CompositeInnerType::Cont(_) => false,
    }
}
