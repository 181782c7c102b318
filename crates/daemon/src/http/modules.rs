//! Modules: upload one, or find one that is there.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::answers::{Answer, Asking, Path, QueryOf, Refused, ServedState, bad};
use super::descriptions::Binary;
use super::wire::{Module, Preparation};
use crate::model::error::ErrorKind;
use crate::model::{Digest, TenantId};

/// How to make a module ready.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ModuleQuery {
    /// Put a check into loops and calls, so that its tasks can be suspended while they compute.
    preempt: Option<bool>,
}

/// Uploads a module, the bytes of a .wasm file. It is made resumable and compiled, once, which
/// takes seconds for one of a megabyte and minutes for one of 20, and kept while tasks name it.
#[utoipa::path(put, path = "/v1/modules", operation_id = "upload_module", params(ModuleQuery),
    request_body(content = Binary, content_type = "application/wasm", description = "The module"),
    responses((status = 200, description = "The module is there", body = Module)))]
pub(super) async fn put(
    State(served): ServedState,
    QueryOf(query): QueryOf<ModuleQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<Module>> {
    let (source, preempt) = (Vec::from(body?), query.preempt.unwrap_or_default());
    let digest = served.daemon.add_module_as(source, preempt).await?;
    let module = digest.to_string();
    Ok(Json(Module { module }))
}

/// Modules that are being made ready to run now: those that are uploaded, and those whose machine
/// code a task has to have that goes on.
#[utoipa::path(get, path = "/v1/preparations", operation_id = "list_preparations",
    responses((status = 200, description = "How far each is", body = [Preparation])))]
pub(super) async fn preparations(
    State(served): ServedState,
    Extension(caller): Asking,
) -> Json<Vec<Preparation>> {
    let mut all = served.daemon.preparations();
    // Whose a module is, nobody knows: those of others are not told.
    all.retain(|_| {
        caller
            .scope()
            .is_none_or(|scope| scope == TenantId::DEFAULT)
    });
    let all = all.into_iter();
    let all = all.map(|(module, under_way)| Preparation {
        module: module.to_string(),
        preparing: under_way.into(),
    });
    Json(all.collect())
}

/// A module that the daemon has, by the BLAKE3 digest of the module as it was uploaded, or of its
/// resumable form; gives the digest by which tasks name it.
#[utoipa::path(get, path = "/v1/modules/{digest}", operation_id = "find_module",
    params(("digest" = String, Path, description = "64 hexadecimal digits"), ModuleQuery),
    responses((status = 200, description = "The module is there", body = Module)))]
pub(super) async fn find(
    State(served): ServedState,
    Path(digest): Path<String>,
    QueryOf(query): QueryOf<ModuleQuery>,
) -> Answer<Json<Module>> {
    let digest = Digest::from_hex(&digest)
        .ok_or_else(|| bad(format!("{digest:?} is no digest: 64 hexadecimal digits")))?;
    let preempt = query.preempt.unwrap_or_default();
    let found = served.daemon.find_module(digest, preempt).await;
    let found = found.map_err(|error| match error.kind() {
        ErrorKind::Missing => Refused::from(error).with(StatusCode::NOT_FOUND),
        _ => error.into(),
    })?;
    let module = found.to_string();
    Ok(Json(Module { module }))
}
