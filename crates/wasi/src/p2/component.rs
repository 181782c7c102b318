//! What a component has beyond descriptors: its handles, the host's resources behind them, and the
//! result that waits for memory.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::abi::Pending;
use super::handles::Handles;
use super::resource_table::ResourceTable;
use crate::error::Error;
use crate::http::{Exchanges, Server};

/// What a component has beyond descriptors. A snapshot holds it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentV1 {
    pub(crate) handles: Handles,
    pub(crate) resources: ResourceTable,
    /// The result of the last call, if the guest has to allocate memory for it.
    pub(crate) pending: Option<Pending>,
    /// How many bytes the blocking write that waits has written already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) written: u32,
    /// The TCP sockets with bytes that are still to be sent.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) unsent: BTreeSet<u32>,
    /// What is still to be sent by sockets that the guest has dropped: descriptors and bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lingering: Vec<(u32, ByteBuf)>,
    /// Requests under way, with their responses.
    #[serde(default, skip_serializing_if = "Exchanges::is_unused")]
    pub(crate) http: Exchanges,
    /// The connections of a guest that answers requests.
    #[serde(default, skip_serializing_if = "Server::is_unused")]
    pub(crate) server: Server,
    /// What `insecure-seed` gives, once it has been asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) insecure_seed: Option<(u64, u64)>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ComponentV1 {
    /// What a snapshot keeps: nothing for a guest that has made no call of a component's.
    pub(crate) fn save(&self) -> Option<Self> {
        (*self != Self::default()).then(|| self.clone())
    }

    /// What a snapshot has kept. Anybody may have written it, so that each call checks the handles
    /// and the resources that it comes across.
    pub(crate) fn restore(saved: Option<Self>) -> Result<Self, Error> {
        let Some(mut component) = saved else {
            return Ok(Self::default());
        };
        component.resources = component.resources.restored().ok_or(Error::Malformed(
            "a resource depends on one that is missing",
        ))?;
        Ok(component)
    }
}
