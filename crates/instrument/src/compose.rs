//! Several components become one: what one imports, another exports.
//!
//! Who exports what is found by name, or said by links.

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

/// Says which export an import is taken from.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The component that imports, by its place among the components.
    pub importer: usize,
    /// The import's name.
    pub import: &'a str,
    /// The component that exports, by its place.
    pub exporter: usize,
    /// The export's name; the import's, if it is left out.
    pub export: Option<&'a str>,
}

/// Interfaces of this namespace may be left to the host.
const HOST: &str = "wasi:";

/// Composes components. The first is the program: its exports are those of the whole. What any of
/// them imports is taken from the one that exports it; two versions of an interface match as they
/// do in semantic versioning. Imports of `wasi:` that nobody exports stay imports of the whole.
///
/// # Errors
/// Says which link is missing, has another type, or is offered by several; which component is used
/// by nobody; and where components need each other in a circle.
pub fn compose(components: &[Named<'_>]) -> Result<Vec<u8>, ComposeError> {
    link(components, &[])
}

/// Composes components, with links that say where imports are taken from. The other imports are
/// linked as [`compose`] does.
///
/// # Errors
/// Those of [`compose`]; and a link of an import or to an export that is not there.
pub fn link(components: &[Named<'_>], links: &[Link<'_>]) -> Result<Vec<u8>, ComposeError> {
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
        links,
        instances: BTreeMap::new(),
        open: Vec::new(),
    };
    linker.check_links()?;
    linker.instance(0)?;
    if let Some(unused) = (0..components.len()).find(|part| !linker.instances.contains_key(part)) {
        return Err(ComposeError::Unused(components[unused].name.to_owned()));
    }
    linker.export_program()?;
    linker
        .graph
        .encode(EncodeOptions::default())
        .map_err(encoding)
}

struct Part<'a> {
    name: &'a str,
    package: PackageId,
}

struct Linker<'a> {
    graph: CompositionGraph,
    parts: Vec<Part<'a>>,
    links: &'a [Link<'a>],
    /// The instance of each component that has one, by the component's index.
    instances: BTreeMap<usize, NodeId>,
    /// The components that are being instantiated, each for the one before it.
    open: Vec<usize>,
}

/// An export for an import.
struct Offer {
    part: usize,
    name: String,
    /// Why it cannot be taken, if its type is another one.
    mismatch: Option<String>,
}

impl Linker<'_> {
    fn name(&self, part: usize) -> Result<&str, ComposeError> {
        match self.parts.get(part) {
            Some(part) => Ok(part.name),
            None => Err(ComposeError::Encoding(format!(
                "a link names component {part}, which there is not"
            ))),
        }
    }

    /// What a component imports, by name and type.
    fn imports(&self, part: usize) -> Vec<(String, ItemKind)> {
        let package = self.parts[part].package;
        let imports = self.graph.types()[self.graph[package].ty()].imports.iter();
        imports.map(|(name, ty)| (name.clone(), *ty)).collect()
    }

    /// Refuses links that lead from or to what is not there.
    fn check_links(&self) -> Result<(), ComposeError> {
        for link in self.links {
            let component = self.name(link.importer)?.to_owned();
            let import = link.import.to_owned();
            let imports: Vec<String> = self.imports(link.importer).into_iter().map(first).collect();
            if !imports.contains(&import) {
                return Err(ComposeError::NoImport {
                    component,
                    import,
                    imports: without_host(imports),
                });
            }
            let exporter = self.name(link.exporter)?.to_owned();
            let package = self.parts[link.exporter].package;
            let exports = &self.graph.types()[self.graph[package].ty()].exports;
            let export = link.export.unwrap_or(link.import);
            if !exports.keys().any(|name| is_export(name, link)) {
                return Err(ComposeError::NoExport {
                    component,
                    import,
                    exporter,
                    export: export.to_owned(),
                    exports: exports.keys().cloned().collect(),
                });
            }
        }
        Ok(())
    }

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
        let imports = self.imports(part);
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
        let mut links = self.links.iter();
        let link = links.find(|link| (link.importer, link.import) == (importer, import));
        let mut offers = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let is_asked = match link {
                Some(link) => index == link.exporter,
                None => index != importer,
            };
            if !is_asked {
                continue;
            }
            for (export, offered) in &types[self.graph[part.package].ty()].exports {
                let is_it = match link {
                    Some(link) => is_export(export, link),
                    None => are_semver_compatible(export, import),
                };
                if !is_it {
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

/// Whether an export is the one that a link leads to. A link that names no export leads to the one
/// with the import's name, in a version that matches.
fn is_export(export: &str, link: &Link<'_>) -> bool {
    match link.export {
        Some(name) => export == name,
        None => are_semver_compatible(export, link.import),
    }
}

fn first<A, B>((first, _): (A, B)) -> A {
    first
}

/// The names of imports that the host does not offer.
fn without_host(mut imports: Vec<String>) -> Vec<String> {
    imports.retain(|name| !name.starts_with(HOST));
    imports
}

/// An error with what has led to it: why the whole is not valid stands there.
fn encoding(error: impl std::error::Error) -> ComposeError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    ComposeError::Encoding(text)
}
