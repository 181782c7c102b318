//! Several components become one: what one imports, another exports.

use std::collections::BTreeMap;

use wac_graph::types::{ItemKind, Package, SubtypeChecker, are_semver_compatible};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

use crate::error::ComposeError;

/// A component, and how it is called in messages.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Its name, such as that of its file.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Interfaces of this namespace may be left to the host.
const HOST: &str = "wasi:";

/// Composes components. The first is the program: its exports are those of the whole. What any of
/// them imports is taken from the one that exports it; two versions of an interface match as they do
/// in semantic versioning. Imports of `wasi:` that nobody exports stay imports of the whole.
///
/// # Errors
/// Says which link is missing, has another type, or is offered by several; which component is used
/// by nobody; and where components need each other in a circle.
pub fn compose(components: &[Named<'_>]) -> Result<Vec<u8>, ComposeError> {
    let mut graph = CompositionGraph::new();
    let mut parts = Vec::new();
    for (index, component) in components.iter().enumerate() {
        let unreadable = |why: String| ComposeError::Unreadable {
            component: component.name.to_owned(),
            why,
        };
        // Packages need different names, and files of one name may lie in two folders.
        let package = Package::from_bytes(
            &format!("dormouse:part{index}"),
            None,
            component.bytes,
            graph.types_mut(),
        )
        .map_err(|error| unreadable(format!("{error:#}")))?;
        let package = graph
            .register_package(package)
            .map_err(|error| unreadable(error.to_string()))?;
        parts.push(Part {
            name: component.name,
            package,
        });
    }
    let mut linker = Linker {
        graph,
        parts,
        instances: BTreeMap::new(),
        open: Vec::new(),
    };
    linker.instance(0)?;
    if let Some(unused) = (0..components.len()).find(|part| !linker.instances.contains_key(part)) {
        return Err(ComposeError::Unused(components[unused].name.to_owned()));
    }
    linker.export_program()?;
    linker
        .graph
        .encode(EncodeOptions::default())
        .map_err(|error| ComposeError::Encoding(error.to_string()))
}

struct Part<'a> {
    name: &'a str,
    package: PackageId,
}

struct Linker<'a> {
    graph: CompositionGraph,
    parts: Vec<Part<'a>>,
    /// The instance of each component that has one, by the component's index.
    instances: BTreeMap<usize, NodeId>,
    /// The components that are being instantiated, each for the one before it.
    open: Vec<usize>,
}

/// An export that has the name of an import.
struct Offer {
    part: usize,
    name: String,
    /// Why it cannot be taken, if its type is another one.
    mismatch: Option<String>,
}

impl Linker<'_> {
    /// The instance of a component; made with all that it imports, if there is none yet.
    fn instance(&mut self, part: usize) -> Result<NodeId, ComposeError> {
        if let Some(instance) = self.instances.get(&part) {
            return Ok(*instance);
        }
        if let Some(start) = self.open.iter().position(|open| *open == part) {
            let circle = self.open[start..].iter().chain([&part]);
            return Err(ComposeError::Circle(
                circle
                    .map(|part| self.parts[*part].name.to_owned())
                    .collect(),
            ));
        }
        self.open.push(part);
        let package = self.parts[part].package;
        let imports: Vec<(String, ItemKind)> = self.graph.types()[self.graph[package].ty()]
            .imports
            .iter()
            .map(|(name, ty)| (name.clone(), *ty))
            .collect();
        let mut arguments = Vec::new();
        for (import, ty) in imports {
            if let Some(offer) = self.offer(part, &import, ty)? {
                let instance = self.instance(offer.part)?;
                let export = self
                    .graph
                    .alias_instance_export(instance, &offer.name)
                    .map_err(encoding)?;
                arguments.push((import, export));
            }
        }
        let instance = self.graph.instantiate(package);
        for (import, export) in arguments {
            self.graph
                .set_instantiation_argument(instance, &import, export)
                .map_err(encoding)?;
        }
        self.open.pop();
        self.instances.insert(part, instance);
        Ok(instance)
    }

    /// What another component exports under the name of an import; `None` if the host is to offer
    /// it.
    fn offer(
        &self,
        importer: usize,
        import: &str,
        ty: ItemKind,
    ) -> Result<Option<Offer>, ComposeError> {
        let component = || self.parts[importer].name.to_owned();
        let offers = self.offers(importer, import, ty);
        let (fitting, others): (Vec<Offer>, Vec<Offer>) = offers
            .into_iter()
            .partition(|offer| offer.mismatch.is_none());
        if fitting.len() > 1 {
            let names = fitting.iter().map(|offer| self.parts[offer.part].name);
            return Err(ComposeError::Ambiguous {
                component: component(),
                import: import.to_owned(),
                exporters: names.map(str::to_owned).collect(),
            });
        }
        if let Some(offer) = fitting.into_iter().next() {
            return Ok(Some(offer));
        }
        if let Some(offer) = others.into_iter().next() {
            return Err(ComposeError::Mismatch {
                component: component(),
                import: import.to_owned(),
                exporter: self.parts[offer.part].name.to_owned(),
                why: offer.mismatch.unwrap_or_default(),
            });
        }
        // Types alone are no link: they come with the functions that use them.
        if import.starts_with(HOST) || matches!(ty, ItemKind::Type(_)) {
            return Ok(None);
        }
        Err(ComposeError::Missing {
            component: component(),
            import: import.to_owned(),
        })
    }

    fn offers(&self, importer: usize, import: &str, ty: ItemKind) -> Vec<Offer> {
        let types = self.graph.types();
        let mut offers = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            if index == importer {
                continue;
            }
            for (export, offered) in &types[self.graph[part.package].ty()].exports {
                if !are_semver_compatible(export, import) {
                    continue;
                }
                let mut cache = Default::default();
                let checked =
                    SubtypeChecker::new(&mut cache).is_subtype(*offered, types, ty, types);
                offers.push(Offer {
                    part: index,
                    name: export.clone(),
                    mismatch: checked.err().map(|error| format!("{error:#}")),
                });
            }
        }
        offers
    }

    /// Exports what the program exports.
    fn export_program(&mut self) -> Result<(), ComposeError> {
        let instance = self.instance(0)?;
        let package = self.parts[0].package;
        let exports = &self.graph.types()[self.graph[package].ty()].exports;
        let names: Vec<String> = exports.keys().cloned().collect();
        for name in names {
            let export = self
                .graph
                .alias_instance_export(instance, &name)
                .map_err(encoding)?;
            self.graph.export(export, name).map_err(encoding)?;
        }
        Ok(())
    }
}

fn encoding(error: impl std::fmt::Display) -> ComposeError {
    ComposeError::Encoding(error.to_string())
}
