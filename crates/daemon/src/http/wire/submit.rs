//! What a client sends: a task, and in a batch how often.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::model::TaskSpec;

/// A task of a batch.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Submit {
    /// What it is started with.
    #[serde(flatten)]
    pub spec: TaskSpec,
    /// Submit so many of it. No name then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl PartialSchema for Submit {
    fn schema() -> RefOr<Schema> {
        let mut schema = TaskSpec::schema();
        if let RefOr::T(Schema::Object(task)) = &mut schema {
            let count = ObjectBuilder::new()
                .schema_type(SchemaType::Array(vec![Type::Integer, Type::Null]))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(0))
                .description(Some("Submit so many of it. No name then."))
                .build();
            task.properties.insert("count".into(), count.into());
            task.description = Some("A task of a batch.".into());
        }
        schema
    }
}

impl ToSchema for Submit {
    fn name() -> Cow<'static, str> {
        "Submit".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        TaskSpec::schemas(schemas);
    }
}
