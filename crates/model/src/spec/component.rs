//! Components that a task file links to one.

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::module::Module;
use crate::Digest;
use crate::text::as_text;

/// One of the components that are linked to the program of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ComponentSource {
    /// Its file.
    pub path: String,
    /// How links and messages call it; left out, its file's name without `.wasm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BLAKE3 of the file, in 64 hexadecimal digits: another one is refused.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::text::optional"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub digest: Option<Digest>,
    /// By the name of an import, where it is taken from. What stands here for no import is taken
    /// from the one component that exports it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = std::collections::BTreeMap<String, String>)
    )]
    pub links: IndexMap<String, LinkTarget>,
}

impl ComponentSource {
    /// How links and messages call it.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let file = self.file_name();
            file.strip_suffix(".wasm")
                .map(str::to_owned)
                .unwrap_or(file)
        })
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        Module::Path(self.path.clone()).file_name()
    }
}

/// An export of a component: `NAME`, for the export that is called as the import is, or
/// `NAME.EXPORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTarget {
    /// The component's name.
    pub component: String,
    /// The export's name, if it is another than the import's.
    pub export: Option<String>,
}

as_text!(LinkTarget);

/// What divides a component's name from that of its export.
const DIVIDER: char = '.';

/// Refuses a name that no component of a task file can have: links could not tell it from an export.
///
/// # Errors
/// Says what a name looks like.
pub fn check_component_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "_-".contains(c);
    match !name.is_empty() && name.chars().all(plain) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} cannot be a component's name, which has letters, digits, `_` and `-` only: \
             give it another one with `name`"
        )),
    }
}

impl FromStr for LinkTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (component, export) = match text.split_once(DIVIDER) {
            None => (text, None),
            Some((component, export)) => (component, Some(export)),
        };
        if check_component_name(component).is_err() || export == Some("") {
            return Err(format!(
                "{text:?} is no link: write the name of a component, or NAME.EXPORT"
            ));
        }
        Ok(Self {
            component: component.to_owned(),
            export: export.map(str::to_owned),
        })
    }
}

impl fmt::Display for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.component)?;
        match &self.export {
            Some(export) => write!(f, "{DIVIDER}{export}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_component_or_to_one_of_its_exports() {
        for (text, component, export) in [
            ("greeter", "greeter", None),
            ("a-b_2", "a-b_2", None),
            (
                "sheep.zoo:sheep/count@0.1.2",
                "sheep",
                Some("zoo:sheep/count@0.1.2"),
            ),
        ] {
            let link: LinkTarget = text.parse().expect(text);
            assert_eq!(
                (&*link.component, link.export.as_deref()),
                (component, export)
            );
            assert_eq!(link.to_string(), text);
        }
        for wrong in ["", ".", ".x", "x.", "a b", "zoo:sheep/count"] {
            assert!(wrong.parse::<LinkTarget>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_component_is_called_by_its_file_where_it_has_no_name() {
        let named = |path: &str, name: Option<&str>| ComponentSource {
            path: path.into(),
            name: name.map(str::to_owned),
            ..ComponentSource::default()
        };
        assert_eq!(named("a/greeter.wasm", None).name(), "greeter");
        assert_eq!(named("greeter", None).name(), "greeter");
        assert_eq!(named("a/greeter.wasm", Some("other")).name(), "other");
    }
}
