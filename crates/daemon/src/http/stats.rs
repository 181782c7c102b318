//! Numbers: what Prometheus is told, in the OpenMetrics text format, and what the dashboard and
//! `top` show.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Deserialize;
use utoipa::IntoParams;

use super::answers::{Answer, Asking, QueryOf, Refused, ServedState, bad};
use super::served::Served;
use super::wire::{Stats, Timeline, read_time, time};
use crate::model::{TaskState, TenantId};
use crate::telemetry::Telemetry;

/// Counters and measurements for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics",
    responses((status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(
    State(served): State<Arc<Served>>,
    Extension(caller): Asking,
) -> Result<Response, Refused> {
    let daemon = &served.daemon;
    if let Some(tenant) = caller.scope_of_metrics() {
        return tenant_metrics(&served, tenant).await;
    }
    let sizes = daemon.sizes().await?;
    let mut registry = Registry::with_prefix("dormouse");
    let metrics = daemon.metrics();
    metrics.register(&mut registry);
    let tasks = Family::<[(&str, String); 1], Gauge>::default();
    for (state, count) in daemon.states().await? {
        let label = [("state", state.to_string())];
        tasks.get_or_create(&label).set(count as i64);
    }
    registry.register("tasks", "Tasks by state", tasks);
    let [_, _, _, flat, stored] = metrics.totals();
    let (parts, used) = daemon.memory();
    let waiting = Gauge::<i64>::default();
    waiting.set(i64::try_from(used.waiting).unwrap_or(i64::MAX));
    let help = "Tasks that wait for memory";
    registry.register("waiting_for_memory", help, waiting);
    let gauges = [
        (
            "memory_budget",
            "Memory that the process may use",
            parts.size,
        ),
        (
            "guest_budget",
            "Memory that guests may have",
            parts.guests(),
        ),
        (
            "guest_memory",
            "Memory that guests have or that is kept for them",
            used.guests,
        ),
        (
            "snapshot_memory",
            "Memory of snapshots that are being made",
            used.snapshots,
        ),
        (
            "warm_memory",
            "Memory of guests that wait in memory",
            metrics.warm_bytes(),
        ),
        ("store_disk", "Size of the store on the disk", sizes.disk),
        (
            "store_blob",
            "Size of modules and bases in the store",
            sizes.blob_bytes,
        ),
        (
            "resident_memory",
            "Memory that the process uses",
            resident().unwrap_or(0),
        ),
    ];
    for (name, help, bytes) in gauges {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        registry.register_with_unit(name, help, Unit::Bytes, gauge);
    }
    register_ratio(flat as f64 / stored.max(1) as f64, &mut registry);
    if let Some(telemetry) = &daemon.options().telemetry {
        register_dropped(telemetry, &mut registry);
    }
    Ok(as_text(&registry))
}

/// How well snapshots are compressed.
fn register_ratio(found: f64, registry: &mut Registry) {
    let ratio = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    ratio.set(found);
    let help = "How many times smaller snapshots are stored than they are";
    registry.register_with_unit("dedup", help, Unit::Ratios, ratio);
}

/// What no collector took.
fn register_dropped(telemetry: &Telemetry, registry: &mut Registry) {
    let dropped = Family::<[(&str, &str); 1], Counter>::default();
    for (signal, count) in telemetry.dropped() {
        let label = [("signal", signal)];
        dropped.get_or_create(&label).inc_by(count);
    }
    let help = "Spans and lines that no collector took in time";
    registry.register("telemetry_dropped", help, dropped);
}

/// What one tenant has. What the daemon is and does beside that is not its business.
async fn tenant_metrics(served: &Served, tenant: TenantId) -> Result<Response, Refused> {
    let (used, states) = served.daemon.tenant_sizes(tenant).await?;
    let mut registry = Registry::with_prefix("dormouse");
    let tasks = Family::<[(&str, String); 1], Gauge>::default();
    for (state, count) in states {
        let label = [("state", state.to_string())];
        tasks.get_or_create(&label).set(count as i64);
    }
    registry.register("tasks", "Tasks by state", tasks);
    let gauges = [
        ("stored", "Size of what tasks are in the store", used.bytes),
        ("output", "Size of the stored output", used.output),
    ];
    for (name, help, bytes) in gauges {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        registry.register_with_unit(name, help, Unit::Bytes, gauge);
    }
    Ok(as_text(&registry))
}

fn as_text(registry: &Registry) -> Response {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, registry);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// What the daemon does and holds.
#[utoipa::path(get, path = "/v1/stats", operation_id = "get_stats",
    responses((status = 200, description = "Numbers of now, and since the start", body = Stats)))]
pub(super) async fn stats(
    State(served): ServedState,
    Extension(caller): Asking,
) -> Answer<Json<Stats>> {
    let daemon = &served.daemon;
    if let Some(tenant) = caller.scope() {
        let (used, states) = daemon.tenant_sizes(tenant).await?;
        return Ok(Json(Stats {
            disk: used.bytes + used.output,
            ..known_to_all(&served, states)
        }));
    }
    let metrics = daemon.metrics();
    let sizes = daemon.sizes().await?;
    let [submitted, wakes, suspends, flat, stored] = metrics.totals();
    let states = daemon.states().await?;
    Ok(Json(Stats {
        submitted,
        wakes,
        suspends,
        memory: resident().unwrap_or(0),
        budget: crate::http::wire::Budget::of(daemon),
        warm_memory: metrics.warm_bytes(),
        disk: sizes.disk,
        blobs: sizes.blobs,
        blob_bytes: sizes.blob_bytes,
        dedup_ratio: flat as f64 / stored.max(1) as f64,
        ..known_to_all(&served, states)
    }))
}

/// What everybody who may ask is told of the daemon, with the tasks that they may see.
fn known_to_all(served: &Served, states: impl IntoIterator<Item = (TaskState, u64)>) -> Stats {
    let daemon = &served.daemon;
    let states = states.into_iter();
    Stats {
        version: env!("CARGO_PKG_VERSION").into(),
        daemon: daemon.options().identity.clone(),
        now: time(daemon.now()),
        uptime: served.started.elapsed().as_secs_f64(),
        tasks: states
            .map(|(state, count)| (state.to_string(), count))
            .collect(),
        ..Stats::default()
    }
}

/// Which spans to count.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TimelineQuery {
    /// When the first span begins, RFC 3339; now if left out.
    from: Option<String>,
    /// Seconds in a span; 10 if left out.
    step: Option<f64>,
    /// How many spans; 60 if left out, 1000 at most.
    count: Option<usize>,
}

/// How many tasks are due when.
#[utoipa::path(get, path = "/v1/timeline", operation_id = "get_timeline", params(TimelineQuery),
    responses((status = 200, description = "A number for each span", body = Timeline)))]
pub(super) async fn timeline(
    State(served): ServedState,
    Extension(caller): Asking,
    QueryOf(query): QueryOf<TimelineQuery>,
) -> Answer<Json<Timeline>> {
    let from = query
        .from
        .as_deref()
        .map(read_time)
        .transpose()
        .map_err(bad)?;
    let from = from.unwrap_or_else(|| served.daemon.now());
    let step = query.step.unwrap_or(10.0);
    if !(0.001..=1e8).contains(&step) {
        return Err(bad("`step` must be between 0.001 and 100000000 seconds"));
    }
    let count = query.count.unwrap_or(60).clamp(1, 1000);
    let counts = served
        .daemon
        .timeline(caller.scope(), from, Duration::from_secs_f64(step), count)
        .await?;
    let from = time(from);
    Ok(Json(Timeline { from, step, counts }))
}

/// Bytes of memory that this process uses, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
