//! The steps from a source to a resumable module, in their order.

use std::borrow::Cow;

use dormouse_model::shape::{self, Import};
use dormouse_model::{Digest, ValType};
use wasmparser::Parser;

use crate::analyze::call_graph::CallGraph;
use crate::analyze::scan::Scan;
use crate::analyze::{changed_tables, interface, managed, size, suspendable, well_formed};
use crate::binaryen::{asyncify, optimize, reference};
#[cfg(feature = "components")]
use crate::component::flatten;
use crate::error::Error;
use crate::expose::{branch_hints, function_names, state, table_maximum, unused_state};
use crate::lower::{
    asyncify_input, block_parameters, exceptions, hidden_bodies, references, segments, tail_calls,
};
use crate::manifest::{Manifest, Transform};
use crate::module::names::working_name;
use crate::module::sections::Sections;
use crate::native::held;
use crate::options::Options;
use crate::report::{Instrumented, InstrumentedFunction, Report};
use crate::step::Step;
#[cfg(not(feature = "components"))]
use crate::without_components::flatten;
use crate::{native, preempt, two_version};

/// [`Transform::Auto`] takes the native transform where more bytes of code than these may be on the
/// stack at a suspend. Binaryen takes about two seconds for so many, and the time grows with them.
const NATIVE_FROM_BYTES: u64 = 512 << 10;

/// Makes a module or a component resumable.
///
/// # Errors
/// Says why the module cannot be made resumable, with the place in the module.
pub fn instrument(source: &[u8], options: &Options<'_>) -> Result<Instrumented, Error> {
    (options.steps)(Step::Reading);
    let component = Parser::is_component(source);
    let module = match component {
        true => Cow::Owned(flatten(source)?),
        false => {
            well_formed::check(source)?;
            Cow::Borrowed(source)
        }
    };
    let has_checks = options.preempt && options.transform != Transform::None;
    let checked = match has_checks {
        true => {
            (options.steps)(Step::Checks);
            Cow::Owned(preempt::insert_checks(&module)?)
        }
        false => module,
    };
    (options.steps)(Step::Analysis);
    let scan = Scan::of(&checked)?;
    let imports = imports(&scan, options)?;
    let mut analyzed = Analyzed::of(checked, scan, imports, options.transform)?;

    (options.steps)(Step::Lowering);
    analyzed.lower()?;
    let instrumented = analyzed.instrumented();
    let imported = analyzed.scan.imported_functions;
    let code_bytes = size::code_bytes(&analyzed.wasm, imported, &instrumented);
    (options.code)(code_bytes, analyzed.transform);
    let rewritten = analyzed.rewrite(&instrumented, options.steps)?;
    // From here on there are places in the result only.
    analyzed.wasm = Cow::Borrowed(&[]);

    let scan = Scan::of(&rewritten)?;
    let mut sections = Sections::split(&rewritten)?;
    let shape = state::expose(&mut sections, &scan, &analyzed.imports)?;
    function_names::restore(&mut sections, &scan, &analyzed.scan);
    table_maximum::limit(&mut sections)?;
    if let Some(hints) = branch_hints::hints(&rewritten, &scan)? {
        sections.add_before_code(&hints);
    }
    let manifest = Manifest {
        tool: env!("CARGO_PKG_VERSION").to_string(),
        source: Digest::of(source),
        transform: analyzed.transform,
        preempt: options.preempt,
        component,
        shape,
    };
    if analyzed.scan.managed {
        sections.add_custom(shape::MANAGED, &[]);
    }
    let (name, content) = manifest.section();
    sections.add_custom(name, &content);
    let wasm = match sections.code_in(&rewritten) {
        Some(code) => {
            let around = sections.around_code(code.len());
            around.join(rewritten, code)
        }
        None => sections.join(),
    };
    let report = analyzed.report(&instrumented, source.len(), wasm.len());
    Ok(Instrumented {
        wasm,
        manifest,
        report,
    })
}

/// Checks a resumable module from a stranger: that it is valid, and imports what its manifest says.
/// Engines look its exports up by name, and report one that is missing.
///
/// # Errors
/// [`Error::OtherImports`], or why the module is not valid.
pub fn check_resumable(wasm: &[u8], manifest: &Manifest) -> Result<(), Error> {
    well_formed::check(wasm)?;
    let scan = Scan::of(wasm)?;
    match interface::imports_are(&scan, &manifest.shape.imports) {
        true => Ok(()),
        false => Err(Error::OtherImports),
    }
}

/// The functions that a module imports, checked against those that the host offers.
fn imports(scan: &Scan, options: &Options<'_>) -> Result<Vec<Import>, Error> {
    let offer =
        |module: &str, name: &str, params: &[ValType]| match (module, name) == shape::PREEMPT {
            true => options.preempt.then(preempt::import),
            false => (options.host)(module, name, params),
        };
    let mut imports = interface::check(scan, &offer, options.interfaces)?;
    if options.transform == Transform::None {
        // Nothing unwinds: host calls wait where they are.
        imports.iter_mut().for_each(|import| import.blocks = false);
    }
    Ok(imports)
}

/// A module with what the analysis has found.
struct Analyzed<'a> {
    /// The source; then the source with checks; then the lowered module.
    wasm: Cow<'a, [u8]>,
    scan: Scan,
    graph: CallGraph,
    /// The functions that the source imports, in order.
    imports: Vec<Import>,
    /// The transform that is taken; not [`Transform::Auto`].
    transform: Transform,
    /// Whether references have to become numbers.
    needs_numbers: bool,
    /// The functions whose bodies Binaryen does not see, in rising order.
    hidden: Vec<u32>,
    /// How many functions the source defines.
    functions: usize,
}

impl<'a> Analyzed<'a> {
    /// Analyzes a module, and refuses one that cannot be suspended.
    fn of(
        wasm: Cow<'a, [u8]>,
        scan: Scan,
        imports: Vec<Import>,
        transform: Transform,
    ) -> Result<Self, Error> {
        let graph = CallGraph::new(&scan, |function| blocks(&imports, function));
        let transform = taken(transform, &wasm, &scan, &graph);
        let needs_numbers = match (transform, scan.managed) {
            (Transform::None, _) => false,
            (Transform::Native, true) => {
                managed::check_state(&wasm, &scan)?;
                held::check(&wasm, &scan, &graph)?;
                suspendable::check(&wasm, &scan, &graph)?;
                changed_tables::check(&scan, &graph)?;
                false
            }
            (_, true) => return Err(of_binaryen()),
            _ => needs_numbers(&wasm, &scan, &graph)?,
        };
        Ok(Self {
            functions: scan.bodies.len(),
            hidden: hidden(transform, &scan, &graph),
            wasm,
            scan,
            graph,
            imports,
            transform,
            needs_numbers,
        })
    }

    /// Puts plain code in place of exceptions, of segments that Binaryen does not know, and of
    /// references that may be held across a suspend. From here on it is another module, and no
    /// refusal may name places in it.
    fn lower(&mut self) -> Result<(), Error> {
        let is_rewritten = self.transform != Transform::None;
        let mut is_lowered = false;
        let older = self.scan.bodies.iter().any(|body| body.older_exceptions);
        if (is_rewritten || older)
            && let Some(plain) = exceptions::lower(&self.wasm, &self.scan)?
        {
            self.scan = Scan::of(&plain)?;
            self.wasm = Cow::Owned(plain);
            is_lowered = true;
        }
        if is_rewritten
            && let Some(plain) = block_parameters::lower(&self.wasm, &self.scan, &self.graph)?
        {
            self.scan = Scan::of(&plain)?;
            self.wasm = Cow::Owned(plain);
            is_lowered = true;
        }
        if is_rewritten
            && !self.scan.managed
            && let Some(plain) = segments::lower(&self.wasm, &self.scan)?
        {
            self.scan = Scan::of(&plain)?;
            self.wasm = Cow::Owned(plain);
            is_lowered = true;
        }
        if self.needs_numbers {
            let plain = references::lower(&self.wasm, &self.scan)?;
            self.scan = Scan::of(&plain)?;
            self.wasm = Cow::Owned(plain);
            is_lowered = true;
        }
        if is_lowered {
            let imports = &self.imports;
            self.graph = CallGraph::new(&self.scan, |function| blocks(imports, function));
        }
        if self.needs_numbers {
            // There are more functions, and fewer that an indirect call may reach.
            self.hidden = hidden(self.transform, &self.scan, &self.graph);
        }
        Ok(())
    }

    /// The functions that may be on the stack at a suspend, in rising order.
    fn instrumented(&self) -> Vec<u32> {
        instrumented(&self.scan, &self.graph)
    }

    /// The imports that may suspend, as `module.name`.
    fn blocking(&self) -> Vec<String> {
        let blocking = self.imports.iter().filter(|import| import.blocks);
        blocking
            .map(|import| format!("{}.{}", import.module, import.name))
            .collect()
    }

    /// Rewrites the module by the transform.
    fn rewrite(&self, instrumented: &[u32], steps: &dyn Fn(Step)) -> Result<Vec<u8>, Error> {
        let prepared = asyncify_input::for_asyncify(&self.wasm, &self.scan)?;
        if self.transform == Transform::Native {
            steps(Step::Splitting);
            let rewritten = native::rewrite(&prepared, &self.graph, instrumented)?;
            if self.scan.managed {
                held::check_versions(&rewritten, &self.scan)?;
            }
            steps(Step::Writing);
            return Ok(rewritten);
        }
        let prepared = tail_calls::lower(prepared, &self.scan, &self.graph)?;
        let asyncified = || {
            steps(Step::Asyncify);
            let functions: Vec<String> = instrumented.iter().map(|f| working_name(*f)).collect();
            let without_hidden = hidden_bodies::take_out(&prepared, &self.hidden)?;
            asyncify(&without_hidden, &functions, &self.blocking())
        };
        let put_back = |made: &[u8]| hidden_bodies::put_back(made, &prepared, &self.hidden);
        let rewritten = match self.transform {
            // The native one has been made by now, and `taken` gives no `Auto`.
            Transform::None | Transform::Native | Transform::Auto => unused_state::add(&prepared)?,
            Transform::Reference => {
                steps(Step::Asyncify);
                reference(&prepared, &self.blocking())?
            }
            Transform::Plain => {
                let asyncified = two_version::cheapen_checks(&asyncified()?)?;
                steps(Step::Optimizing);
                put_back(&optimize(&asyncified)?)?
            }
            Transform::TwoVersion => {
                let asyncified = put_back(&asyncified()?)?;
                steps(Step::Splitting);
                self.split(&asyncified)?
            }
        };
        steps(Step::Writing);
        Ok(rewritten)
    }

    /// Makes two versions of each function that asyncify has instrumented.
    fn split(&self, asyncified: &[u8]) -> Result<Vec<u8>, Error> {
        two_version::split(asyncified, |module, name| {
            let mut blocking = self.imports.iter().filter(|import| import.blocks);
            blocking.any(|import| import.module == module && import.name == name)
        })
    }

    fn report(&self, instrumented: &[u32], source_bytes: usize, resumable_bytes: usize) -> Report {
        let instrumented = instrumented.iter().map(|function| InstrumentedFunction {
            name: self.scan.function_name(*function),
            path: self.graph.path(&self.scan, *function).unwrap_or_default(),
        });
        Report {
            functions: self.functions,
            instrumented: instrumented.collect(),
            blocking: self.blocking(),
            source_bytes,
            resumable_bytes,
        }
    }
}

/// Whether references have to become numbers, so that a frame can hold them. Refuses a module where
/// they cannot.
fn needs_numbers(wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Result<bool, Error> {
    let checked = suspendable::check(wasm, scan, graph);
    match checked.and_then(|()| changed_tables::check(scan, graph)) {
        Ok(()) => Ok(false),
        Err(Error::Unsupported { what, .. }) => match references::check::obstacle(wasm, scan)? {
            Some(why) => Err(Error::Unsupported { what, why }),
            None => Ok(true),
        },
        Err(error) => Err(error),
    }
}

/// Why a module with managed references is refused for the transforms that run Binaryen.
fn of_binaryen() -> Error {
    Error::Unsupported {
        what: "a module with objects or typed references".into(),
        why: "Binaryen 117, which this transform runs, cannot read it; take the transform `native`",
    }
}

/// The functions whose bodies Binaryen does not see, in rising order.
fn hidden(transform: Transform, scan: &Scan, graph: &CallGraph) -> Vec<u32> {
    match transform {
        Transform::TwoVersion | Transform::Plain => hidden_bodies::off_the_stack(scan, graph),
        _ => Vec::new(),
    }
}

/// The functions that may be on the stack at a suspend, in rising order.
fn instrumented(scan: &Scan, graph: &CallGraph) -> Vec<u32> {
    let defined = scan.defined();
    defined.filter(|f| graph.may_suspend(*f)).collect()
}

/// The transform that is taken for a module where this one is asked for.
fn taken(asked: Transform, wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Transform {
    if asked != Transform::Auto {
        return asked;
    }
    let instrumented = instrumented(scan, graph);
    let is_large =
        size::code_bytes(wasm, scan.imported_functions, &instrumented) > NATIVE_FROM_BYTES;
    match is_large || scan.managed || !cfg!(feature = "binaryen") {
        true => Transform::Native,
        false => Transform::TwoVersion,
    }
}

/// Whether a function is an import that may suspend. Only functions are imported.
fn blocks(imports: &[Import], function: u32) -> bool {
    let import = imports.get(function as usize);
    import.is_some_and(|import| import.blocks)
}
