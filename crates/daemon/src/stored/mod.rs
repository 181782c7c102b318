//! What the store keeps of a task as bytes, beside what was submitted.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `status` | what is known of a task |
//! | `history` | a task's last runs |
//! | `tenant_rules` | what a tenant may have |
//! | `damaged` | tasks whose row cannot be read |
//! | `encoding` | values as bytes |
//! | `move_details` | what is known of a move |
//! | `fields` | structs as MessagePack maps whose keys are numbers |

pub(crate) mod damaged;
pub(crate) mod encoding;
mod fields;
pub(crate) mod history;
pub(crate) mod move_details;
pub(crate) mod status;
pub(crate) mod tenant_rules;
