//! WebAssembly into resumable WebAssembly.
//!
//! ```text
//! source -> validate -> prepare -> asyncify -> fastpath -> optimize -> surface -> resumable module
//!              |        lower      (Binaryen)             (Binaryen)
//!              |        opaque: bodies out ------------------> in again
//!              |        opaque: slow bodies out --> in again
//!              |- exceptions, segments: plain code for them
//!              `- callgraph: which functions may be on the stack at a suspend
//!
//! preempt: checks in loops and calls, where asked for, before all that
//! ```

// What is written must not depend on the order in which a hash table is walked.
#![deny(clippy::iter_over_hash_type)]

use dormouse_child as child;
use dormouse_model as model;

mod bare;
mod binaryen;
mod callgraph;
mod ceiling;
mod depth;
mod error;
mod exceptions;
mod fastpath;
mod hints;
mod image;
mod lower;
mod manifest;
mod opaque;
mod preempt;
mod prepare;
mod scan;
mod sections;
mod segments;
mod size;
mod surface;
mod tables;
mod validate;

use std::borrow::Cow;

use crate::model::{Digest, ValType, shape};

pub use error::Error;
pub use image::{Segment, initial_memory};
pub use manifest::{Manifest, Transform};
pub use size::check_size;

/// Which version of the rewriting this is: a digest of its sources.
pub const REVISION: &str = env!("DORMOUSE_INSTRUMENT");

/// A function that the host offers to modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFunction {
    /// Types of its parameters.
    pub params: Vec<ValType>,
    /// Types of its results; at most one.
    pub results: Vec<ValType>,
    /// Whether a call may suspend the guest.
    pub blocks: bool,
}

/// What offers a function: from its module, name and parameters.
pub type Offer<'a> = dyn Fn(&str, &str, &[ValType]) -> Option<HostFunction> + 'a;

/// How to instrument.
pub struct Options<'a> {
    /// The functions that the host offers, by module and name. Where there are several of one name, that
    /// with these parameters.
    pub host: &'a Offer<'a>,
    /// Which rewriting.
    pub transform: Transform,
    /// Whether loops and calls carry a check, so that a guest which computes can be suspended too.
    pub preempt: bool,
    /// Told at the start of every stage, with its number from 0 to [`STAGES`].
    pub progress: &'a dyn Fn(&'static str, usize),
    /// Told before the rewriting begins how many bytes of code are going to be instrumented: the time is theirs.
    pub code: &'a dyn Fn(u64),
}

/// How many stages an instrumentation has.
pub const STAGES: usize = 4;

/// A resumable module.
pub struct Instrumented {
    /// The module, with its manifest in a custom section.
    pub wasm: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
    /// What was done.
    pub report: Report,
}

/// What an instrumentation did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many functions the source defines.
    pub functions: usize,
    /// Those that were instrumented, in the module's order.
    pub instrumented: Vec<InstrumentedFunction>,
    /// Imports that may suspend the guest, as `module.name`.
    pub blocking: Vec<String>,
    /// Size of the source in bytes.
    pub source_bytes: usize,
    /// Size of the resumable module in bytes.
    pub resumable_bytes: usize,
}

/// A function that may be on the stack at a suspend.
#[derive(Clone, Debug)]
pub struct InstrumentedFunction {
    /// Its name, or its number where the module has no names.
    pub name: String,
    /// The shortest chain of calls to an import that may suspend; `~>` is an indirect call.
    pub path: String,
}

/// Makes a module resumable.
///
/// # Errors
/// Says why the module cannot be, naming what and where.
pub fn instrument(source: &[u8], options: &Options<'_>) -> Result<Instrumented, Error> {
    (options.progress)("reading", 0);
    validate::well_formed(source)?;
    let given = source;
    let checked;
    let source = match options.preempt && options.transform != Transform::None {
        true => {
            checked = preempt::insert(source)?;
            &checked[..]
        }
        false => source,
    };
    let mut scan = scan::Scan::of(source)?;
    let host = |module: &str, name: &str, params: &[ValType]| match (module, name) == shape::PREEMPT
    {
        true => options.preempt.then(preempt::import),
        false => (options.host)(module, name, params),
    };
    let mut imports = validate::interface(&scan, &host)?;
    if options.transform == Transform::None {
        // Nothing unwinds: host calls wait where they are.
        imports.iter_mut().for_each(|import| import.blocks = false);
    }

    (options.progress)("finding what may suspend", 1);
    let blocks = |function: u32| imports.get(function as usize).is_some_and(|i| i.blocks);
    let mut graph = callgraph::CallGraph::new(&scan, blocks);
    // Nothing of a module that is left as it is goes through Binaryen.
    let rewritten = options.transform != Transform::None;
    let mut opaque = Vec::new();
    if rewritten {
        validate::bodies(source, &scan, &graph)?;
        tables::check(&scan, &graph)?;
        opaque = opaque::functions(&scan, &graph);
    }
    // From here on it is another module, of which no refusal may speak by the byte.
    let functions = scan.bodies.len();
    let mut lowered = Cow::Borrowed(source);
    let older = scan.bodies.iter().any(|body| body.older_exceptions);
    if (rewritten || older)
        && let Some(plain) = exceptions::lower(&lowered, &scan)?
    {
        scan = scan::Scan::of(&plain)?;
        lowered = Cow::Owned(plain);
    }
    if rewritten && let Some(plain) = segments::lower(&lowered, &scan, &opaque)? {
        scan = scan::Scan::of(&plain)?;
        lowered = Cow::Owned(plain);
    }
    if matches!(lowered, Cow::Owned(_)) {
        graph = callgraph::CallGraph::new(&scan, blocks);
    }
    let defined = scan.imported_functions..scan.functions.len() as u32;
    let instrumented: Vec<u32> = defined.filter(|f| graph.may_suspend(*f)).collect();

    (options.progress)("rewriting", 2);
    (options.code)(size::code_bytes(
        &lowered,
        scan.imported_functions,
        &instrumented,
    ));
    let blocking: Vec<String> = imports
        .iter()
        .filter(|import| import.blocks)
        .map(|import| format!("{}.{}", import.module, import.name))
        .collect();
    let prepared = prepare::prepare(&lowered, &scan)?;
    let prepared = lower::tail_calls(prepared, &scan, &graph)?;
    let prepared = opaque::take_out(&prepared, &opaque, opaque::Round::Unreadable)?;
    let asyncify = || {
        let settings = binaryen::Asyncify {
            functions: instrumented.iter().map(|f| format!("f{f}")).collect(),
            imports: blocking.clone(),
        };
        binaryen::asyncify(&prepared, &settings)
    };
    // Functions that stay out of their callers: one with a single caller would be inlined there.
    let mut kept: Vec<String> = opaque.iter().map(|f| format!("f{f}")).collect();
    let asyncified = match options.transform {
        Transform::None => bare::add_state(&prepared)?,
        Transform::Reference => binaryen::reference(&prepared, &blocking, &kept)?,
        Transform::Plain => binaryen::optimize(&fastpath::whole(&asyncify()?)?, &kept)?,
        Transform::TwoVersion => {
            let named = |module: &str, name: &str| {
                let blocking = imports.iter().filter(|import| import.blocks);
                blocking
                    .clone()
                    .any(|i| i.module == module && i.name == name)
            };
            let split = fastpath::split(&asyncify()?, named)?;
            kept.push(format!("*{}", fastpath::SLOW));
            kept.push(format!("*{}*", fastpath::OSR));
            // Asyncify has optimized what it made, and the slow versions are that.
            let slow = opaque::slow(&split)?;
            let without = opaque::take_out(&split, &slow, opaque::Round::Slow)?;
            let optimized = binaryen::optimize(&without, &kept)?;
            opaque::put_back(&optimized, &split, &slow, opaque::Round::Slow)?
        }
    };
    let asyncified = opaque::put_back(&asyncified, &lowered, &opaque, opaque::Round::Unreadable)?;

    (options.progress)("writing", 3);
    let (mut sections, shape) = surface::expose(&asyncified, &scan, &imports)?;
    ceiling::tables(&mut sections)?;
    if let Some(hints) = hints::section(&asyncified)? {
        sections.add_before_code(hints);
    }
    let manifest = Manifest {
        tool: env!("CARGO_PKG_VERSION").to_string(),
        source: Digest::of(given),
        transform: options.transform,
        preempt: options.preempt,
        shape,
    };
    let (name, content) = manifest.section();
    sections.add_custom(name, &content);
    let wasm = sections.join();
    let report = Report {
        functions,
        instrumented: instrumented
            .iter()
            .map(|function| InstrumentedFunction {
                name: scan.function_name(*function),
                path: graph.path(&scan, *function).unwrap_or_default(),
            })
            .collect(),
        blocking,
        source_bytes: given.len(),
        resumable_bytes: wasm.len(),
    };
    Ok(Instrumented {
        wasm,
        manifest,
        report,
    })
}

/// Checks a resumable module from a stranger: that it is valid and imports what its manifest says.
/// What it exports, an engine looks up by name.
///
/// # Errors
/// Says what is wrong.
pub fn check_resumable(wasm: &[u8], manifest: &Manifest) -> Result<(), Error> {
    validate::well_formed(wasm)?;
    let scan = scan::Scan::of(wasm)?;
    match validate::imports_are(&scan, &manifest.shape.imports) {
        true => Ok(()),
        false => Err(Error::OtherImports),
    }
}
