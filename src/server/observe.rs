//! What Prometheus is told, in the OpenMetrics text format.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Served;
use super::routes::Refused;

/// Counters and measurements for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(served): State<Arc<Served>>) -> Result<Response, Refused> {
    let daemon = &served.daemon;
    let sizes = daemon.sizes().await?;
    let mut registry = Registry::with_prefix("dormouse");
    let metrics = daemon.metrics();
    metrics.register(&mut registry);
    let tasks = Family::<[(&str, String); 1], Gauge>::default();
    for (state, count) in metrics.states() {
        let label = [("state", state.to_string())];
        tasks.get_or_create(&label).set(count as i64);
    }
    registry.register("tasks", "Tasks by state", tasks);
    let [_, _, _, flat, stored] = metrics.totals();
    let gauges = [
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
    let ratio = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    ratio.set(flat as f64 / stored.max(1) as f64);
    let help = "How many times smaller snapshots are stored than they are";
    registry.register_with_unit("dedup", help, Unit::Ratios, ratio);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Bytes of memory that this process uses, where the system tells.
pub(super) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
