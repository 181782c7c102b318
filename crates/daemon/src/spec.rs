//! What a daemon makes of what a task is started with.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::bounds::check_bounds;
use crate::error::Error;
use crate::model::spec::{Settings, Wrong};
use crate::model::{OnLimit, TaskSpec};
use crate::task::EngineKind;

/// What a daemon does with what a task is started with.
pub(crate) trait Submitted {
    /// Refuses what no task can be given.
    fn check(&self) -> Result<(), Error>;

    /// The engine to run on.
    fn engine_or(&self, default: EngineKind) -> EngineKind;

    /// Takes other limits over.
    fn take(&mut self, more: &LimitChanges);
}

impl Submitted for TaskSpec {
    fn check(&self) -> Result<(), Error> {
        check_bounds(self)?;
        if let Some(field) = self.not_for_a_daemon() {
            let text = format!("`{field}` is for `dormouse run`, and not for a task of a daemon's");
            return Err(Error::Request(text).at(field));
        }
        check_limits(&self.limits)?;
        let refused = |wrong: Wrong| Error::Request(wrong.error).at(wrong.field);
        self.check_directories().map_err(refused)?;
        self.check_requests().map_err(refused)
    }

    fn engine_or(&self, default: EngineKind) -> EngineKind {
        self.engine.unwrap_or(default)
    }

    fn take(&mut self, more: &LimitChanges) {
        self.limits.extend(&more.limits);
        self.on_limit = more.on_limit.or(self.on_limit);
    }
}

/// Other limits for a paused task that is to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitChanges {
    /// Limits by name, such as `{"cpu": "20m"}`; the task has them from then on.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub limits: Settings,
    /// What becomes of the task when it reaches one: `end` or `pause`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub on_limit: Option<OnLimit>,
}

impl LimitChanges {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Refuses limits that no task can have for itself.
pub(super) fn check_limits(limits: &Settings) -> Result<(), Error> {
    let of_process = limits.iter().find(|setting| setting.limit.is_of_process());
    match of_process {
        Some(setting) => {
            let limit = setting.limit;
            let text = format!(
                "the limit {limit} is one of the daemon's, for all tasks: `dormouse serve --limit {setting}`"
            );
            Err(Error::Request(text).at(format!("limits.{limit}")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Clocks;
    use crate::stored::encoding::{from_bytes, to_named_bytes};

    #[test]
    fn what_is_stored_reads_back_and_is_short() {
        let spec = TaskSpec {
            program: Some("nap.wasm".into()),
            args: vec!["7".into()],
            ..TaskSpec::default()
        };
        let bytes = to_named_bytes(&spec).expect("encodes");
        assert!(bytes.len() < 29, "{}", bytes.len());
        assert_eq!(from_bytes::<TaskSpec>(&bytes).expect("decodes"), spec);
        let unusual = TaskSpec {
            clocks: Some(Clocks::Virtual),
            ..spec
        };
        let longer = to_named_bytes(&unusual).expect("encodes");
        assert_eq!(from_bytes::<TaskSpec>(&longer).expect("decodes"), unusual);
        assert!(from_bytes::<TaskSpec>(&[]).is_err());
        assert!(from_bytes::<TaskSpec>(&[9, 1]).is_err());
        assert!(from_bytes::<TaskSpec>(&bytes[..bytes.len() - 1]).is_err());
    }

    /// What a sleeper of the scale benchmark takes.
    #[test]
    fn a_sleeper_of_a_million_is_short() {
        let spec = TaskSpec {
            program: Some("sleeper".into()),
            args: vec!["1000000".into()],
            ..TaskSpec::default()
        };
        let bytes = to_named_bytes(&spec).expect("encodes");
        assert!(bytes.len() <= 33, "{}", bytes.len());
    }
}
