//! The same sleep as tokio tasks: what nobody can beat, and what no crash survives.
//!
//! usage: tokio-sleepers TASKS SPREAD_SECONDS   prints JSON: starts per second, bytes for each, lateness

use std::time::{Duration, Instant};

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<f64>().expect("a number"));
    let tasks = arguments.next().expect("TASKS") as usize;
    let spread = arguments.next().expect("SPREAD_SECONDS");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("tokio");
    let (late, wait) = std::sync::mpsc::channel();
    let before = resident();
    let started = Instant::now();
    let first = started + Duration::from_secs(5);
    for _ in 0..tasks {
        let late = late.clone();
        runtime.spawn(async move {
            let due = first + Duration::from_secs_f64(fastrand::f64() * spread);
            tokio::time::sleep_until(due.into()).await;
            late.send(due.elapsed()).expect("it is waited for");
        });
    }
    let took = started.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(2));
    let memory = (resident() - before) / tasks as u64;
    let mut late: Vec<Duration> = (0..tasks).map(|_| wait.recv().expect("it wakes")).collect();
    late.sort_unstable();
    let quantile = |q: f64| late[((tasks - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    println!(
        "{{\"starts_per_second\": {:.0}, \"memory\": {memory}, \"p50_ms\": {:.2}, \"p99_ms\": {:.2}, \"max_ms\": {:.2}}}",
        tasks as f64 / took,
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
}
