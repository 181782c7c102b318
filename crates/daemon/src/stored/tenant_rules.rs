//! What a tenant may have, as the store keeps it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::spec::Settings;

/// What a tenant may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantRules {
    /// The most tasks, whatever their state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// The most bytes in the store: of what tasks were submitted with, of their status and of their
    /// snapshots. Beyond it no task is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The most bytes of stored output. Beyond it no task is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Limits that each task has, and may only lower: `{"memory": "64M", "cpu": "1h/1d"}`.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub limits: Settings,
    /// Directories of the daemon's machine that tasks may be given, whole; with `:ro` behind it, to
    /// read only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dirs: Vec<String>,
    /// Addresses that tasks may listen on, `HOST:PORT`; the port may be `*`, and so may both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    /// Addresses that tasks may connect to, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<String>,
}

impl TenantRules {
    /// Rules from what the store has kept, which is nothing where nothing was said.
    pub(crate) fn read(details: &[u8]) -> Result<Self, serde_json::Error> {
        match details.is_empty() {
            true => Ok(Self::default()),
            false => serde_json::from_slice(details),
        }
    }
}
