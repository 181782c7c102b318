//! Branches that depend on a reference.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{Instruction as I, RefType};
use wasmparser::Operator;

use crate::error::Error;

/// Such a branch.
pub(super) struct ReferenceBranch {
    kind: Kind,
    /// The depth of its label in the source.
    pub depth: u32,
}

enum Kind {
    Null,
    NonNull,
    Cast { from: RefType, to: RefType },
    CastFail { from: RefType, to: RefType },
}

impl ReferenceBranch {
    /// The branch to a label at this depth.
    pub(super) fn to(&self, depth: u32) -> I<'static> {
        match self.kind {
            Kind::Null => I::BrOnNull(depth),
            Kind::NonNull => I::BrOnNonNull(depth),
            Kind::Cast { from, to } => I::BrOnCast {
                relative_depth: depth,
                from_ref_type: from,
                to_ref_type: to,
            },
            Kind::CastFail { from, to } => I::BrOnCastFail {
                relative_depth: depth,
                from_ref_type: from,
                to_ref_type: to,
            },
        }
    }
}

/// What an instruction is, if it is such a branch.
pub(super) fn reference_branch(operator: &Operator<'_>) -> Result<Option<ReferenceBranch>, Error> {
    let encoded = |ty| RoundtripReencoder.ref_type(ty).map_err(Error::encoding);
    let (kind, depth) = match *operator {
        Operator::BrOnNull { relative_depth } => (Kind::Null, relative_depth),
        Operator::BrOnNonNull { relative_depth } => (Kind::NonNull, relative_depth),
        Operator::BrOnCast {
            relative_depth,
            from_ref_type,
            to_ref_type,
        } => {
            let (from, to) = (encoded(from_ref_type)?, encoded(to_ref_type)?);
            (Kind::Cast { from, to }, relative_depth)
        }
        Operator::BrOnCastFail {
            relative_depth,
            from_ref_type,
            to_ref_type,
        } => {
            let (from, to) = (encoded(from_ref_type)?, encoded(to_ref_type)?);
            (Kind::CastFail { from, to }, relative_depth)
        }
        _ => return Ok(None),
    };
    Ok(Some(ReferenceBranch { kind, depth }))
}
