//! The components of a task file, linked to one.

use std::path::Path;

use super::exit::{Code, Failure, MISMATCH, USAGE};
use super::module_file;
use crate::error::Error;
use crate::model::spec::{ComponentSource, check_component_name};
use crate::model::{Digest, TaskSpec};

/// What is wrong with a field of a task file.
pub(crate) struct WrongField {
    /// The path to the field: keys of tables, and indices of arrays.
    pub(crate) field: Vec<String>,
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl WrongField {
    /// Of the component at this index in the file, or of a part of it.
    fn new(index: usize, part: &[&str], failure: Failure) -> Self {
        let part = part.iter().map(|part| (*part).to_owned());
        Self {
            field: ["components".into(), index.to_string()]
                .into_iter()
                .chain(part)
                .collect(),
            code: failure.code,
            message: failure.message,
        }
    }
}

/// How links call the components.
fn names(spec: &TaskSpec) -> Vec<String> {
    spec.components.iter().map(ComponentSource::name).collect()
}

/// Refuses components that no composition can be made of.
pub(crate) fn check(spec: &TaskSpec) -> Result<(), WrongField> {
    let wrong = |index: usize, part: &[&str], message: String| {
        Err(WrongField::new(index, part, Failure::new(USAGE, message)))
    };
    if !spec.components.is_empty() && spec.module.is_some() {
        let text = "a task has a `module` or components, and not both: leave one of them out";
        return wrong(0, &[], text.into());
    }
    let names = names(spec);
    for (index, (component, name)) in spec.components.iter().zip(&names).enumerate() {
        if let Err(error) = check_component_name(name) {
            return wrong(index, &[], error);
        }
        if names[..index].contains(name) {
            let text = format!("two components are called {name}: give one of them another `name`");
            return wrong(index, &[], text);
        }
        for (import, target) in &component.links {
            if !names.contains(&target.component) {
                let text = format!(
                    "`{import}` of {name} is linked to {}, and no component is called so; there are {}",
                    target.component,
                    names.join(", ")
                );
                return wrong(index, &["links", import], text);
            }
        }
    }
    Ok(())
}

/// The bytes of the component that they become. Their paths are from here.
pub(crate) fn compose(spec: &TaskSpec) -> Result<Vec<u8>, WrongField> {
    let names = names(spec);
    let mut sources = Vec::new();
    for (index, component) in spec.components.iter().enumerate() {
        let at = |failure| WrongField::new(index, &["path"], failure);
        let bytes = module_file::read(Path::new(&component.path)).map_err(at)?;
        let found = Digest::of(&bytes);
        if let Some(wanted) = component.digest.filter(|wanted| *wanted != found) {
            let text = format!(
                "{} is not the component that is meant: its BLAKE3 is {found}, and not {wanted}",
                component.path
            );
            return Err(at(Failure::new(MISMATCH, text)));
        }
        sources.push(bytes);
    }
    link(spec, &names, &sources)
}

#[cfg(feature = "components")]
fn link(spec: &TaskSpec, names: &[String], sources: &[Vec<u8>]) -> Result<Vec<u8>, WrongField> {
    use crate::instrument::{self, Link, Named};

    let components = names.iter().zip(sources);
    let components: Vec<Named<'_>> = components
        .map(|(name, bytes)| Named { name, bytes })
        .collect();
    let mut links = Vec::new();
    for (importer, component) in spec.components.iter().enumerate() {
        for (import, target) in &component.links {
            // A link to a component that is not there was refused.
            if let Some(exporter) = names.iter().position(|name| *name == target.component) {
                links.push(Link {
                    importer,
                    import,
                    exporter,
                    export: target.export.as_deref(),
                });
            }
        }
    }
    instrument::link(&components, &links).map_err(|error| {
        let (index, import) = match error.place() {
            Some((component, import)) => {
                let index = names.iter().position(|name| name == component);
                (index.unwrap_or_default(), import.map(str::to_owned))
            }
            None => (0, None),
        };
        // An import that is not linked in the file has no line of its own.
        let linked = |import: &String| spec.components[index].links.contains_key(import);
        let import = import.filter(linked);
        let part: Vec<&str> = import.iter().flat_map(|name| ["links", name]).collect();
        WrongField::new(index, &part, Error::from(error).into())
    })
}

#[cfg(not(feature = "components"))]
fn link(_: &TaskSpec, _: &[String], _: &[Vec<u8>]) -> Result<Vec<u8>, WrongField> {
    use crate::instrument::{self, ComponentError};

    let error = Error::from(instrument::Error::from(ComponentError::LeftOut));
    Err(WrongField::new(0, &[], error.into()))
}
