//! The two-version transform: asyncify that costs almost nothing while nothing is suspended.
//!
//! Asyncify makes each function able to unwind and to rewind. What costs is the rewinding: every
//! stretch of code is guarded by "are we rewinding?", which breaks loops and registers apart. So
//! each instrumented function becomes two:
//!
//! - `F$slow` is the pass's output as it is. It restores frames.
//! - `F` begins with "rewinding? then `return F$slow(arguments)`". Behind that it is the pass's
//!   output in which every read of asyncify's state is the constant 0 (normal), except in the test
//!   "did the call that I just made start to unwind?". Folding constants gives the original code
//!   back, with one predicted branch for each call that may suspend.
//!
//! It is sound because `F`'s body is entered in the normal state only, and the state changes only
//! inside calls: right after one it may be "unwinding", and then the test jumps to the end, which
//! saves exactly what `F$slow` restores, since both are copies of one body. A function in which the
//! test after some call cannot be recognised is left as it is.
//!
//! While the guest rewinds, only bodies that restore frames run, and the host calls the entry. So
//! where every call of `F` is a direct one, `F` itself has no test at its start: bodies that restore
//! frames call `F$enter` in its place, which has the test and goes on to one of the two.
//!
//! A check (`preempt.rs`) is a call that may suspend like any other, and in a fast version not even
//! made: `branch.rs`.

mod branch;
mod fold;
mod liveness;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use wasm_encoder::{CodeSection, Encode, Instruction, NameMap, NameSection, SectionId};
use wasmparser::{
    ExternalKind, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, Parser,
    ValType, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use self::branch::{Branch, Check};
use self::fold::Op;

use super::Error;
use super::callgraph::CallGraph;
use super::prepare::content;
use super::scan::Scan;
use super::sections::Sections;
use crate::model::shape;

/// Ends the names of slow versions.
pub(super) const SLOW: &str = "$slow";

/// Ends the names of functions that go on to one of two versions.
pub(super) const ENTER: &str = "$enter";

/// Asyncify's numbers for its states.
const UNWINDING: i32 = 1;
const REWINDING: i32 = 2;

/// Splits every function that asyncify has instrumented. `blocks` says which imports may suspend.
pub(super) fn split(wasm: &[u8], blocks: impl Fn(&str, &str) -> bool) -> Result<Vec<u8>, Error> {
    let mut scan = Scan::of(wasm)?;
    super::opaque::note(&mut scan);
    let state = state(&scan)?;
    let bodies = bodies(wasm)?;
    let check = Check::of(&scan);
    let graph = CallGraph::new(&scan, |function| {
        let import = scan.imports.get(function as usize);
        import.is_some_and(|import| blocks(&import.module, &import.name))
    });

    let mut instrumented = Vec::new();
    for (function, body) in (scan.imported_functions..).zip(&bodies) {
        if is_guest(&scan, function) && reads(&body.body, state)? {
            instrumented.push(function);
        } else if graph.may_suspend(function) {
            // Its frame would be lost.
            return Err(Error::Binaryen);
        }
    }

    let entered = entered_from_outside(&scan);
    let mut versions = Versions::default();
    for function in &instrumented {
        let body = &bodies[(function - scan.imported_functions) as usize];
        let slow = (scan.functions.len() + versions.slow.len()) as u32;
        let entry = entered.contains(function).then(|| Entry {
            params: params(&scan, *function),
            slow,
        });
        if let Some(bytes) = fast_body(wasm, body, state, &graph, entry, check)? {
            versions.slow.push(*function);
            versions.fast.insert(*function, bytes);
        }
    }
    let first = (scan.functions.len() + versions.slow.len()) as u32;
    let direct = versions.slow.iter().filter(|f| !entered.contains(f));
    versions.enter = direct.copied().zip(first..).collect();

    let mut sections = Sections::split(wasm)?;
    let module = Module {
        wasm,
        scan: &scan,
        bodies: &bodies,
        state,
        check,
    };
    module.write(&mut sections, &instrumented, &versions)?;
    Ok(sections.join())
}

/// Asyncify's output with its checks alone made cheaper.
pub(super) fn whole(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = Scan::of(wasm)?;
    let Some(check) = Check::of(&scan) else {
        return Ok(wasm.to_vec());
    };
    let bodies = bodies(wasm)?;
    let module = Module {
        wasm,
        scan: &scan,
        bodies: &bodies,
        state: state(&scan)?,
        check: Some(check),
    };
    let all = scan.imported_functions..scan.functions.len() as u32;
    let mut sections = Sections::split(wasm)?;
    module.write(
        &mut sections,
        &all.collect::<Vec<_>>(),
        &Versions::default(),
    )?;
    Ok(sections.join())
}

/// The global with asyncify's state.
fn state(scan: &Scan) -> Result<u32, Error> {
    let state = scan.exports.iter().find_map(|(name, kind, index)| {
        (*kind == ExternalKind::Global && name == shape::ASYNCIFY_STATE).then_some(*index)
    });
    state.ok_or(Error::Binaryen)
}

/// What is made of the instrumented functions.
#[derive(Default)]
struct Versions {
    /// The fast body of each function that has two.
    fast: HashMap<u32, Vec<u8>>,
    /// The same functions, in the order of their slow versions.
    slow: Vec<u32>,
    /// Of those without a test at their start, the function that has it.
    enter: HashMap<u32, u32>,
}

/// The test at the start of a function.
struct Entry {
    params: u32,
    slow: u32,
}

impl Entry {
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
        for param in 0..self.params {
            Instruction::LocalGet(param).encode(out);
        }
        Instruction::Call(function).encode(out);
    }
}

fn params(scan: &Scan, function: u32) -> u32 {
    scan.func_type(scan.functions[function as usize])
        .map_or(0, |ty| ty.params().len() as u32)
}

/// Functions that something else than a direct call may enter: the host, or an indirect call.
fn entered_from_outside(scan: &Scan) -> HashSet<u32> {
    let exports = scan.exports.iter();
    let exported = exports.filter_map(|(_, kind, index)| match kind {
        ExternalKind::Func | ExternalKind::FuncExact => Some(*index),
        _ => None,
    });
    let elements = scan.elements.iter().flat_map(|segment| &segment.functions);
    exported
        .chain(elements.copied())
        .chain(scan.referenced.iter().copied())
        .chain(scan.start)
        .collect()
}

/// A function's body, and what is needed to follow its operands.
struct Defined<'a> {
    body: FunctionBody<'a>,
    types: FuncToValidate<ValidatorResources>,
}

/// The bodies of a module that Binaryen has written.
fn bodies(wasm: &[u8]) -> Result<Vec<Defined<'_>>, Error> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let valid = validator.payload(&payload).map_err(Error::malformed)?;
        if let ValidPayload::Func(types, body) = valid {
            bodies.push(Defined { body, types });
        }
    }
    Ok(bodies)
}

impl<'a> Defined<'a> {
    fn range(&self) -> Range<usize> {
        // Positions are those in a module that is in memory, so they fit.
        let range = self.body.range();
        range.start as usize..range.end as usize
    }

    /// Its instructions, and the types of its parameters and other locals.
    fn decode(&self) -> wasmparser::Result<(Vec<Op<'a>>, Vec<ValType>)> {
        let allocations = FuncValidatorAllocations::default();
        let types = FuncToValidate {
            resources: self.types.resources.clone(),
            ..self.types
        };
        let mut validator = types.into_validator(allocations);
        validator.read_locals(&mut self.body.get_binary_reader())?;
        let mut reader = self.body.get_operators_reader()?;
        let mut ops = Vec::new();
        while !reader.eof() {
            let start = reader.original_position();
            let operator = reader.read()?;
            let arity = operator.operator_arity(&validator.visitor(start));
            validator.op(start, &operator)?;
            ops.push(Op {
                operator,
                start: start as usize,
                end: reader.original_position() as usize,
                // The validator has just used it.
                arity: arity.unwrap_or_default(),
            });
        }
        let types = (0..validator.len_locals()).filter_map(|i| validator.get_local_type(i));
        Ok((ops, types.collect()))
    }
}

/// One of the guest's functions, not of asyncify's own.
fn is_guest(scan: &Scan, function: u32) -> bool {
    let name = scan.names.get(&function);
    name.is_some_and(|name| super::prepare::original_function(name).is_some())
}

fn reads(body: &FunctionBody<'_>, global: u32) -> Result<bool, Error> {
    for operator in body.get_operators_reader().map_err(Error::malformed)? {
        if matches!(
            operator.map_err(Error::malformed)?,
            Operator::GlobalGet { global_index } if global_index == global
        ) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The fast version of a body, or `None` where a call has no test that can be recognised.
fn fast_body(
    wasm: &[u8],
    defined: &Defined<'_>,
    state: u32,
    graph: &CallGraph,
    entry: Option<Entry>,
    check: Option<Check>,
) -> Result<Option<Vec<u8>>, Error> {
    let (ops, types) = defined.decode().map_err(Error::malformed)?;
    let Some(tests) = tests(&ops, state, graph) else {
        return Ok(None);
    };
    let folded = fold::fold(&ops, state, &tests);
    let dead = liveness::dead(&ops, &folded).unwrap_or_default();

    let range = defined.range();
    let start = ops.first().map_or(range.end, |op| op.start);
    let mut out = wasm[range.start..start].to_vec();
    if let Some(entry) = entry {
        entry.encode(state, &mut out);
    }
    let mut copied = start;
    let mut place = 0;
    while place < ops.len() {
        let rest = &ops[place..];
        if let Some(check) = check.filter(|check| check.is_called_by(&ops[place])) {
            let branch = Branch::of(&rest[1..]);
            let read = place + 2;
            let Some(branch) = branch.filter(|_| tests.binary_search(&read).is_ok()) else {
                return Ok(None);
            };
            out.extend_from_slice(&wasm[copied..ops[place].start]);
            let dead = dead.get(&(read + 3)).map_or(&[][..], Vec::as_slice);
            check.encode(&branch, state, dead, &types, &mut out);
            place += 1 + Branch::LENGTH;
            copied = ops[place - 1].end;
            continue;
        }
        if let [op, read, ..] = rest
            && reads_state(read, state)
            && tests.binary_search(&(place + 1)).is_ok()
            && let Some(branch) = Branch::of(rest)
            && let Some(dead) = dead.get(&(place + 4)).filter(|dead| !dead.is_empty())
        {
            out.extend_from_slice(&wasm[copied..op.start]);
            branch.encode(state, dead, &types, &mut out);
            place += Branch::LENGTH;
            copied = ops[place - 1].end;
            continue;
        }
        if reads_state(&ops[place], state) && tests.binary_search(&place).is_err() {
            out.extend_from_slice(&wasm[copied..ops[place].start]);
            Instruction::I32Const(0).encode(&mut out);
            copied = ops[place].end;
        }
        place += 1;
    }
    out.extend_from_slice(&wasm[copied..range.end]);
    Ok(Some(out))
}

fn reads_state(op: &Op<'_>, state: u32) -> bool {
    matches!(op.operator, Operator::GlobalGet { global_index } if global_index == state)
}

/// Where the tests behind calls that may suspend read the state; `None` where such a call has none
/// that can be recognised.
fn tests(ops: &[Op<'_>], state: u32, graph: &CallGraph) -> Option<Vec<usize>> {
    let mut tests = Vec::new();
    for (place, op) in ops.iter().enumerate() {
        let suspends = match op.operator {
            Operator::Call { function_index } => graph.may_suspend(function_index),
            Operator::CallIndirect {
                type_index,
                table_index,
            } => graph.indirect_may_suspend(type_index, table_index),
            _ => false,
        };
        if suspends {
            tests.push(place + 1 + test_behind(&ops[place + 1..], state)?);
        }
    }
    Some(tests)
}

/// How far behind a call its test is, with nothing but the call's result put away in between.
fn test_behind(rest: &[Op<'_>], state: u32) -> Option<usize> {
    let put_away = rest.iter().take_while(|op| {
        matches!(
            op.operator,
            Operator::LocalSet { .. } | Operator::Drop | Operator::I32Const { .. }
        )
    });
    let place = put_away.count();
    match rest.get(place..)? {
        [read, number, equal, ..]
            if reads_state(read, state)
                && matches!(number.operator, Operator::I32Const { value: UNWINDING })
                && matches!(equal.operator, Operator::I32Eq) =>
        {
            Some(place)
        }
        _ => None,
    }
}

/// Asyncify's output.
struct Module<'a> {
    wasm: &'a [u8],
    scan: &'a Scan,
    bodies: &'a [Defined<'a>],
    state: u32,
    check: Option<Check>,
}

impl Module<'_> {
    /// Puts fast versions in place, and at the end the slow ones and those that choose.
    fn write(
        &self,
        sections: &mut Sections,
        instrumented: &[u32],
        versions: &Versions,
    ) -> Result<(), Error> {
        let scan = self.scan;
        let added = versions.slow.len() + versions.enter.len();
        let last = (scan.functions.len() + added) as u32;
        let mut enter = versions.enter.clone();
        enter.extend(self.check.map(|check| (check.import, last)));
        let mut code = CodeSection::new();
        for (function, body) in (scan.imported_functions..).zip(self.bodies) {
            if let Some(fast) = versions.fast.get(&function) {
                code.raw(fast);
            } else if instrumented.binary_search(&function).is_ok() {
                code.raw(&self.restoring_body(function, &enter)?);
            } else {
                code.raw(&self.wasm[body.range()]);
            }
        }
        let mut added = Vec::new();
        for (slow, function) in (scan.functions.len() as u32..).zip(&versions.slow) {
            code.raw(&self.restoring_body(*function, &enter)?);
            added.push((slow, *function, SLOW));
        }
        let slow_of: HashMap<u32, u32> = added.iter().map(|(slow, f, _)| (*f, *slow)).collect();
        let mut entered: Vec<(u32, u32)> = versions.enter.iter().map(|(f, e)| (*e, *f)).collect();
        entered.sort_unstable();
        for (index, function) in entered {
            let entry = Entry {
                params: params(scan, function),
                slow: slow_of[&function],
            };
            let mut body = vec![0];
            entry.encode(self.state, &mut body);
            entry.call(function, &mut body);
            Instruction::End.encode(&mut body);
            code.raw(&body);
            added.push((index, function, ENTER));
        }
        if let Some(check) = self.check {
            code.raw(&check.restoring(self.state));
            added.push((last, check.import, ENTER));
        }
        let mut types = Vec::new();
        for (_, function, _) in &added {
            scan.functions[*function as usize].encode(&mut types);
        }
        sections.replace(SectionId::Code, content(&code));
        sections.append(SectionId::Function, added.len() as u32, &types)?;
        name(sections, scan, &added);
        Ok(())
    }

    /// A body of asyncify's that calls functions by way of those that have the test at the start.
    fn restoring_body(&self, function: u32, enter: &HashMap<u32, u32>) -> Result<Vec<u8>, Error> {
        let body = &self.bodies[(function - self.scan.imported_functions) as usize];
        let range = body.range();
        let mut copied = range.start;
        let mut out = Vec::with_capacity(range.len());
        let mut reader = body.body.get_operators_reader().map_err(Error::malformed)?;
        while !reader.eof() {
            let before = reader.original_position() as usize;
            if let Operator::Call { function_index } = reader.read().map_err(Error::malformed)?
                && let Some(enter) = enter.get(&function_index)
            {
                out.extend_from_slice(&self.wasm[copied..before]);
                Instruction::Call(*enter).encode(&mut out);
                copied = reader.original_position() as usize;
            }
        }
        out.extend_from_slice(&self.wasm[copied..range.end]);
        Ok(out)
    }
}

/// Names the functions added, each after the one it belongs to.
fn name(sections: &mut Sections, scan: &Scan, added: &[(u32, u32, &str)]) {
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
