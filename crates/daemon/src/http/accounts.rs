//! Tokens, tenants and the audit log, for admins.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, OpenApi};

use super::answers::{Answer, Asking, Body, Path, QueryOf, ServedState, bad_field, missing};
use super::json::read;
use super::served::Served;
use super::wire::{
    AuditEntry, NewTenant, NewToken, Problem, Tenant, TenantRules, Token, Used, time,
};
use crate::access::tenants::Tenant as Known;
use crate::error::Error as DaemonError;
use crate::model::Role;
use crate::model::error::{Error, ErrorKind};
use crate::store::TokenRow;

/// At most this many entries of the audit log are given at once.
const MOST_ENTRIES: usize = 10_000;

/// These paths in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    paths(
        tokens,
        create_token,
        revoke_token,
        tenants,
        create_tenant,
        tenant,
        set_tenant,
        remove_tenant,
        audit
    ),
    components(schemas(NewToken, Token, NewTenant, Tenant, TenantRules, Used, AuditEntry))
)]
pub(super) struct Doc;

pub(super) fn routes() -> Router<Arc<Served>> {
    Router::new()
        .route("/v1/tokens", get(tokens).post(create_token))
        .route("/v1/tokens/{name}", delete(revoke_token))
        .route("/v1/tenants", get(tenants).post(create_tenant))
        .route(
            "/v1/tenants/{name}",
            get(tenant).put(set_tenant).delete(remove_tenant),
        )
        .route("/v1/audit", get(audit))
}

async fn shown(served: &Served, row: TokenRow, token: Option<String>) -> Answer<Token> {
    Ok(Token {
        name: row.name,
        role: row.role.to_string(),
        tenant: served.tenants.name(row.tenant).await?,
        created: time(row.created),
        token,
    })
}

/// All tokens but the one in the daemon's directory, by their names.
#[utoipa::path(get, path = "/v1/tokens", operation_id = "list_tokens",
    responses((status = 200, description = "The tokens, without themselves", body = Vec<Token>)))]
async fn tokens(State(served): ServedState) -> Answer<Json<Vec<Token>>> {
    let mut all = Vec::new();
    for row in served.tokens.all().await? {
        all.push(shown(&served, row, None).await?);
    }
    Ok(Json(all))
}

/// Makes a token, and tells it. It is not stored and told never again.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "create_token", request_body = NewToken,
    responses((status = 201, description = "The token", body = Token)))]
async fn create_token(
    State(served): ServedState,
    Extension(caller): Asking,
    Body(new): Body<Value>,
) -> Answer<(StatusCode, Json<Token>)> {
    let new: NewToken = read(&new)?;
    let role: Role = new
        .role
        .parse()
        .map_err(|error: String| bad_field("role", error))?;
    let tenant = match &new.tenant {
        Some(name) => served.tenants.named(name).await?.id,
        None => caller.tenant,
    };
    let now = served.daemon.now();
    let (row, token) = served.tokens.create(new.name, tenant, role, now).await?;
    let token = shown(&served, row, Some(token)).await?;
    Ok((StatusCode::CREATED, Json(token)))
}

/// A token counts no more, from the next request on; at another daemon on the same store a second
/// later.
#[utoipa::path(delete, path = "/v1/tokens/{name}", operation_id = "revoke_token",
    params(("name" = String, Path, description = "The token's name")),
    responses((status = 204, description = "The token does not count any more")))]
async fn revoke_token(State(served): ServedState, Path(name): Path<String>) -> Answer<StatusCode> {
    match served.tokens.revoke(&name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(format!(
            "there is no token of the name {name:?}; `dormouse token ls` lists them"
        ))),
    }
}

async fn with_usage(served: &Served, known: Known) -> Answer<Tenant> {
    let used = served.tenants.usage(known.id).await?.into();
    let (name, rules) = (known.name, known.rules);
    Ok(Tenant { name, rules, used })
}

/// All tenants, the oldest first, with what they may have and what they have.
#[utoipa::path(get, path = "/v1/tenants", operation_id = "list_tenants",
    responses((status = 200, description = "The tenants", body = Vec<Tenant>)))]
async fn tenants(State(served): ServedState) -> Answer<Json<Vec<Tenant>>> {
    let mut all = Vec::new();
    for known in served.tenants.all().await?.iter() {
        all.push(with_usage(&served, known.clone()).await?);
    }
    Ok(Json(all))
}

/// Makes a tenant.
#[utoipa::path(post, path = "/v1/tenants", operation_id = "create_tenant", request_body = NewTenant,
    responses((status = 201, description = "The tenant", body = Tenant)))]
async fn create_tenant(
    State(served): ServedState,
    Body(new): Body<Value>,
) -> Answer<(StatusCode, Json<Tenant>)> {
    let new: NewTenant = read(&new)?;
    let known = served.tenants.create(&new.name, &new.rules).await?;
    let tenant = with_usage(&served, known).await?;
    Ok((StatusCode::CREATED, Json(tenant)))
}

/// A tenant, with what it may have and what it has.
#[utoipa::path(get, path = "/v1/tenants/{name}", operation_id = "get_tenant",
    params(("name" = String, Path, description = "The tenant's name")),
    responses((status = 200, description = "The tenant", body = Tenant)))]
async fn tenant(State(served): ServedState, Path(name): Path<String>) -> Answer<Json<Tenant>> {
    let known = served.tenants.named(&name).await?;
    Ok(Json(with_usage(&served, known).await?))
}

/// Gives a tenant other rules. Tasks that are there already stay as they are.
#[utoipa::path(put, path = "/v1/tenants/{name}", operation_id = "set_tenant",
    params(("name" = String, Path, description = "The tenant's name")), request_body = TenantRules,
    responses((status = 200, description = "The tenant", body = Tenant)))]
async fn set_tenant(
    State(served): ServedState,
    Path(name): Path<String>,
    Body(rules): Body<Value>,
) -> Answer<Json<Tenant>> {
    let rules: TenantRules = read(&rules)?;
    let known = served.tenants.set(&name, &rules).await?;
    Ok(Json(with_usage(&served, known).await?))
}

/// Removes a tenant that has no tasks and no tokens any more.
#[utoipa::path(delete, path = "/v1/tenants/{name}", operation_id = "remove_tenant",
    params(("name" = String, Path, description = "The tenant's name")),
    responses((status = 204, description = "There is no such tenant any more"),
        (status = 409, description = "It has tasks or tokens, or it is the default one", body = Problem)))]
async fn remove_tenant(State(served): ServedState, Path(name): Path<String>) -> Answer<StatusCode> {
    served.tenants.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// Only what a token of this name did.
    token: Option<String>,
    /// Only what was for this tenant.
    tenant: Option<String>,
    /// At most this many, 100 if left out, 10000 at most.
    limit: Option<usize>,
}

/// The audit log: who did what, the newest first.
#[utoipa::path(get, path = "/v1/audit", operation_id = "get_audit", params(AuditQuery),
    responses((status = 200, description = "The entries", body = Vec<AuditEntry>),
        (status = 404, description = "No audit log is kept", body = Problem)))]
async fn audit(
    State(served): ServedState,
    QueryOf(query): QueryOf<AuditQuery>,
) -> Answer<Json<Vec<AuditEntry>>> {
    let Some(log) = served.audit.clone() else {
        return Err(missing(
            "this daemon keeps no audit log; `dormouse serve --audit-log` does",
        ));
    };
    let most = query.limit.unwrap_or(100).clamp(1, MOST_ENTRIES);
    let read = tokio::task::spawn_blocking(move || {
        let is =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let wanted =
            |entry: &AuditEntry| is(&query.token, &entry.token) && is(&query.tenant, &entry.tenant);
        log.last(most, wanted)
    });
    let failed = |error: String| DaemonError::Damaged(format!("the audit log: {error}"));
    let read = read.await.map_err(|error| failed(error.to_string()))?;
    let entries = read.map_err(|error| Error::new(ErrorKind::Store, failed(error.to_string())))?;
    Ok(Json(entries))
}
