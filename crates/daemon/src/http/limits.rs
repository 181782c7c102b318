//! Which limits a task can have: `GET /v1/limits`.

use axum::Json;
use axum::extract::State;

use super::answers::{Answer, ServedState};
use super::wire::LimitInfo;
use crate::model::Limit;

/// The limits that a task can have, each with what it has where nothing is said.
#[utoipa::path(get, path = "/v1/limits", operation_id = "list_limits",
    responses((status = 200, description = "All limits of tasks", body = Vec<LimitInfo>)))]
pub(super) async fn limits(State(served): ServedState) -> Answer<Json<Vec<LimitInfo>>> {
    let daemon = &served.daemon.options().limits;
    let limits = Limit::ALL.iter().filter(|limit| !limit.is_of_process());
    let told = limits.map(|limit| LimitInfo {
        name: limit.to_string(),
        what: limit.what().into(),
        value: daemon.setting(*limit).shown(),
    });
    Ok(Json(told.collect()))
}
