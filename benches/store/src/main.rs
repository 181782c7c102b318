//! Which embedded store the daemon should have, by what the daemon does with it.
//!
//! usage: dormouse-bench-store [TASKS]           all candidates, as a Markdown table
//!        dormouse-bench-store writer NAME DIR   commits until it is killed (used by the crash test)

mod candidate;
mod fjall;
mod redb;
mod sqlite;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use candidate::{Candidate, Change, Result};

const NAMES: [&str; 3] = ["SQLite", "redb", "fjall"];
const KILLS: u32 = 30;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "writer") {
        return write_for_ever(&mut *open(&arguments[2], Path::new(&arguments[3]))?);
    }
    let tasks = arguments.get(1).map_or(Ok(1_000_000), |number| number.parse())?;
    let columns: Vec<Vec<(&str, String)>> = NAMES
        .iter()
        .map(|name| measure(name, tasks))
        .collect::<Result<_>>()?;
    println!("| {} tasks | {} |\n| --- | --- | --- | --- |", tasks, NAMES.join(" | "));
    for row in 0..columns[0].len() {
        let values: Vec<&str> = columns.iter().map(|column| column[row].1.as_str()).collect();
        println!("| {} | {} |", columns[0][row].0, values.join(" | "));
    }
    Ok(())
}

fn open(name: &str, folder: &Path) -> Result<Box<dyn Candidate>> {
    Ok(match name {
        "SQLite" => Box::new(sqlite::Sqlite::open(folder)?),
        "redb" => Box::new(redb::Redb::open(folder)?),
        _ => Box::new(fjall::Fjall::open(folder)?),
    })
}

/// A day of nanoseconds, in which due times lie at random.
const DAY: u64 = 86_400_000_000_000;

fn insert(id: u64) -> Change {
    Change {
        id,
        expected: 0,
        due: 1,
        spec: Some(vec![7; 60]),
        snapshot: None,
        line: None,
    }
}

fn sleep(id: u64, expected: u64, random: &mut fastrand::Rng) -> Change {
    // Compressed differences: noise.
    let snapshot = std::iter::repeat_with(|| random.u8(..)).take(200).collect();
    Change {
        id,
        expected,
        due: DAY + random.u64(0..DAY),
        spec: None,
        snapshot: Some(snapshot),
        line: Some(format!("task {id} has written a line of about sixty bytes, {expected:010}").into()),
    }
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |place: usize| fields.get(place).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn measure(name: &str, tasks: u64) -> Result<Vec<(&'static str, String)>> {
    let folder = std::env::temp_dir().join(format!("dormouse-bench-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut rows: Vec<(&'static str, String)> = Vec::new();
    let mut random = fastrand::Rng::with_seed(1);
    let memory = resident();
    let mut store = open(name, &folder)?;

    let (started, before) = (Instant::now(), cpu());
    for first in (0..tasks).step_by(1000) {
        let ids = first..(first + 1000).min(tasks);
        store.commit(&ids.clone().map(|id| insert(id + 1)).collect::<Vec<_>>())?;
        store.commit(&ids.map(|id| sleep(id + 1, 1, &mut random)).collect::<Vec<_>>())?;
    }
    rows.push(("submitted and put to sleep, in batches of 1000", per_second(tasks, started)));
    rows.push(("CPU for each", format!("{:.1} µs", (cpu() - before) / tasks as f64 * 1e6)));
    drop(store);
    rows.push(("disk for each", format!("{} bytes", disk(&folder) / tasks)));

    let started = Instant::now();
    let mut store = open(name, &folder)?;
    let due = store.due(DAY + DAY / 2, 1000)?;
    assert_eq!(due.len(), 1000);
    rows.push(("open, and find the first 1000 that are due", format!("{:.1} ms", started.elapsed().as_secs_f64() * 1e3)));

    // Everybody wakes once, in the order of their times, and goes to sleep again.
    let (started, before) = (Instant::now(), cpu());
    let mut woken = 0;
    let wakes = tasks / 2;
    while woken < wakes {
        let due = store.due(2 * DAY, 500)?;
        let changes: Vec<Change> = due
            .iter()
            .map(|(_, id, version)| {
                let mut change = sleep(*id, *version, &mut random);
                change.due += 2 * DAY;
                change
            })
            .collect();
        for (_, id, _) in &due {
            assert_eq!(store.snapshot(*id)?.len(), 200);
        }
        store.commit(&changes)?;
        woken += changes.len() as u64;
    }
    rows.push(("wake-ups: found, read, put to sleep again, in batches of 500", per_second(wakes, started)));
    rows.push(("CPU for each wake-up", format!("{:.1} µs", (cpu() - before) / wakes as f64 * 1e6)));
    rows.push(("memory of the process, beyond what it had before", format!("{:.0} MiB", resident() - memory)));

    let started = Instant::now();
    for round in 0..200 {
        store.commit(&[insert(10_000_000 + round)])?;
    }
    rows.push(("one change by itself, durable", format!("{:.2} ms", started.elapsed().as_secs_f64() * 1e3 / 200.0)));
    drop(store);
    rows.push(("disk for each, after the wake-ups", format!("{} bytes", disk(&folder) / tasks)));
    std::fs::remove_dir_all(&folder)?;
    rows.push(("killed while it writes, 30 times", killed(name)?));
    Ok(rows)
}

fn per_second(count: u64, started: Instant) -> String {
    format!("{:.0}/s", count as f64 / started.elapsed().as_secs_f64())
}

/// Commits batches of 100 new tasks for ever, and says after each how many there are.
fn write_for_ever(store: &mut dyn Candidate) -> Result<()> {
    let mut next = store.count()? + 1;
    loop {
        store.commit(&(next..next + 100).map(insert).collect::<Vec<_>>())?;
        next += 100;
        println!("{}", next - 1);
        std::io::stdout().flush()?;
    }
}

/// Kills a writer again and again: what it said is there must be there, and no half batch.
fn killed(name: &str) -> Result<String> {
    let folder = std::env::temp_dir().join(format!("dormouse-kill-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (mut lost, mut torn) = (0, 0);
    for round in 0..KILLS {
        let mut writer = Command::new(std::env::current_exe()?)
            .args(["writer", name])
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(writer.stdout.take().expect("it is piped")).lines();
        let reader = std::thread::spawn(move || lines.map_while(|line| line.ok()).last());
        std::thread::sleep(Duration::from_millis(60 + u64::from(round) * 5));
        writer.kill()?;
        writer.wait()?;
        let said: u64 = reader.join().expect("it reads").map_or(Ok(0), |line| line.parse())?;
        let found = open(name, &folder)?.count()?;
        lost += u32::from(found < said);
        torn += u32::from(found % 100 != 0);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(format!("{lost} times lost, {torn} times torn"))
}
