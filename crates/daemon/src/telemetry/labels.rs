//! What is told of a task with each of its spans and lines.

use std::sync::Arc;

use opentelemetry::KeyValue;

use crate::model::TaskId;

/// What is told of the task with each of its spans and lines.
#[derive(Debug)]
pub(crate) struct TaskLabels {
    pub(crate) id: TaskId,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) tenant: Arc<str>,
}

impl TaskLabels {
    pub(super) fn attributes(&self) -> impl Iterator<Item = KeyValue> + use<> {
        let id = KeyValue::new("dormouse.task.id", self.id.0 as i64);
        let tenant = KeyValue::new("dormouse.tenant", self.tenant.clone());
        let name = self.name.clone();
        let name = name.map(|name| KeyValue::new("dormouse.task.name", name));
        [id, tenant].into_iter().chain(name)
    }
}
