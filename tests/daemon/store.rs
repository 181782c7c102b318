//! What looks after the store: room that is given back, checks, copies, and files that are damaged.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};

pub fn store(arguments: &[&str], data: &Path) -> Output {
    let (command, rest) = arguments.split_first().expect("a command");
    Command::new(env!("CARGO_BIN_EXE_dormouse"))
        .args(["store", command, "--data"])
        .arg(data)
        .args(rest)
        .output()
        .expect("the binary runs")
}

/// What Python's SQLite, which is not ours, says of a file; the answer to the last statement.
pub fn sqlite(file: &Path, statements: &[&str]) -> String {
    let script = "import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    rows = file.execute(statement).fetchall()
print(rows[0][0] if rows else '')";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(file)
        .args(statements)
        .output()
        .expect("python3 is there");
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).trim().to_string()
}

/// Tasks with an environment of so many bytes each, which never start.
fn bulk(daemon: &Daemon, count: u64, size: usize) -> Vec<u64> {
    let module = daemon.upload("ex_sleeper");
    let task = json!({
        "module": module, "program": "sleeper", "args": ["0"], "env": {"FILL": "x".repeat(size)},
        "schedule": {"at": "2200-01-01T00:00:00Z"}, "count": count
    });
    let (status, told) = daemon.json(Method::POST, "/v1/batch", &json!([task]));
    assert_eq!(status, 200, "{told}");
    let told = told.as_array().expect("tasks").iter();
    told.map(|task| task["id"].as_u64().expect("a number"))
        .collect()
}

fn remove(daemon: &Daemon, ids: &[u64]) {
    for id in ids {
        assert_eq!(daemon.act(*id, "kill").0, 200);
        let path = format!("/v1/tasks/{id}");
        assert_eq!(daemon.json(Method::DELETE, &path, &Value::Null).0, 204);
    }
}

fn size(data: &Path) -> u64 {
    fs::metadata(data.join("store.sqlite"))
        .expect("a store")
        .len()
}

/// The daemon does it by itself when it has nothing to store.
#[test]
fn removed_tasks_give_their_room_back() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let ids = bulk(&daemon, 300, 50_000);
    let kept = daemon.submit(
        "ex_nap",
        &[],
        json!({"schedule": {"at": "2200-01-01T00:00:00Z"}}),
    );
    // So that it stands in the file, and not in the WAL alone.
    let full = daemon.until_that("the file has grown", || {
        (store(&["compact"], data.path()).status.success() && size(data.path()) > 15_000_000)
            .then(|| size(data.path()))
    });
    remove(&daemon, &ids);
    let after = daemon.until_that("the file is small again", || {
        let now = size(data.path());
        (now < full / 4).then_some(now)
    });
    println!("{full} bytes, then {after}");
    assert_eq!(daemon.task(kept)["state"], "hibernated");
    assert!(store(&["check"], data.path()).status.success());
}

#[test]
fn a_store_is_compacted_beside_a_daemon_and_without_one() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let ids = bulk(&daemon, 60, 50_000);
    remove(&daemon, &ids);
    // It works meanwhile.
    let napper = daemon.submit("ex_sleeper", &["0.05", "0", "20"], json!({}));
    let online = store(&["compact"], data.path());
    assert_eq!(online.status.code(), Some(0), "{online:?}");
    let free = sqlite(
        &data.path().join("store.sqlite"),
        &["PRAGMA freelist_count"],
    );
    assert!(free.parse::<u64>().expect("a number") < 64, "{free}");
    daemon.until(napper, "exited");
    assert_eq!(daemon.output(napper).lines().count(), 20);
    daemon.stop();
    let offline = store(&["compact"], data.path());
    assert_eq!(offline.status.code(), Some(0), "{offline:?}");
    assert!(size(data.path()) < 1_000_000, "{}", size(data.path()));
    let daemon = Daemon::start(data.path(), &[]);
    assert_eq!(daemon.output(napper).lines().count(), 20);
}

/// Whatever is asked of a store of a format that this build does not know, it is refused and stays as it is.
#[test]
fn a_store_of_another_format_is_refused_and_left_alone() {
    let data = folder();
    let file = data.path().join("store.sqlite");
    let daemon = Daemon::start(data.path(), &[]);
    daemon.submit(
        "ex_nap",
        &[],
        json!({"schedule": {"at": "2200-01-01T00:00:00Z"}}),
    );
    daemon.stop();
    let known = sqlite(&file, &["PRAGMA user_version"]);
    sqlite(&file, &["PRAGMA user_version = 4"]);
    let whole = sqlite(
        &file,
        &[
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA journal_mode = DELETE",
        ],
    );
    assert_eq!(whole, "delete");
    let before = fs::read(&file).expect("it is there");
    let told = format!("has format 4, and this build knows format {known} only");
    let said = match Daemon::try_start(data.path(), &[]) {
        Err(said) => said,
        Ok(_) => panic!("it starts"),
    };
    assert!(said.contains("exit code Some(68)"), "{said}");
    assert!(said.contains(&told) && said.contains("--data"), "{said}");
    let copy = data.path().join("copy");
    for arguments in [
        &["check"][..],
        &["compact"],
        &["backup", copy.to_str().expect("UTF-8")],
    ] {
        let refused = store(arguments, data.path());
        assert_eq!(
            refused.status.code(),
            Some(68),
            "{arguments:?}: {refused:?}"
        );
        let said = text(&refused.stderr);
        assert!(said.contains(&told), "{arguments:?}: {said}");
    }
    assert!(!copy.exists());
    assert!(
        fs::read(&file).expect("it is there") == before,
        "it has been changed"
    );
    sqlite(&file, &[&format!("PRAGMA user_version = {known}")]);
    Daemon::start(data.path(), &[]).stop();
}

/// A copy that is made while tasks run is a store like any other: each task goes on from what was stored.
#[test]
fn a_backup_is_made_beside_a_daemon_and_can_be_served() {
    let (data, copies) = (folder(), folder());
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "50ms"]);
    let ids: Vec<u64> = (0..20)
        .map(|_| daemon.submit("ex_sleeper", &["0.2", "0.1", "10"], json!({})))
        .collect();
    daemon.until_that("one sleeps", || {
        (daemon.task(ids[0])["sleeps"].as_u64() >= Some(2)).then_some(())
    });
    let copy = copies.path().join("copy");
    let name = copy.to_str().expect("UTF-8");
    let made = store(&["backup", name], data.path());
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let again = store(&["backup", name], data.path());
    assert_eq!(
        again.status.code(),
        Some(73),
        "it would overwrite one: {again:?}"
    );
    assert!(store(&["check"], &copy).status.success());
    let found = sqlite(&copy.join("store.sqlite"), &["PRAGMA integrity_check"]);
    assert_eq!(found, "ok");
    for entry in fs::read_dir(&copy).expect("a copy") {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("a file").permissions().mode() & 0o077;
        assert_eq!(mode, 0, "others can read {:?}", entry.file_name());
    }
    for id in &ids {
        daemon.until(*id, "exited");
    }
    daemon.stop();
    let restored = Daemon::start(&copy, &["--hibernate-after", "50ms"]);
    for id in ids {
        restored.until(id, "exited");
        let rounds: Vec<String> = restored
            .output(id)
            .lines()
            .map(|line| line.split(" late").next().unwrap_or_default().to_string())
            .collect();
        let expected: Vec<String> = (0..10).map(|round| format!("round {round}")).collect();
        assert_eq!(rounds, expected);
    }
}

/// How a file is damaged.
type Damage = fn(&Path);

fn overwrite(file: &Path, at: u64, length: usize) {
    let mut file = fs::File::options()
        .write(true)
        .open(file)
        .expect("the store");
    file.seek(SeekFrom::Start(at)).expect("it is long enough");
    file.write_all(&vec![0xa5; length])
        .expect("it is overwritten");
}

const DAMAGES: [(&str, Damage); 5] = [
    ("its header is overwritten", |file| overwrite(file, 0, 100)),
    ("its first pages are overwritten", |file| {
        overwrite(file, 100, 20_000)
    }),
    ("all but the header is overwritten", |file| {
        let length = fs::metadata(file).expect("the store").len() as usize;
        overwrite(file, 4096, length - 4096);
    }),
    ("half of it is cut off", |file| {
        let length = fs::metadata(file).expect("the store").len();
        let open = fs::File::options()
            .write(true)
            .open(file)
            .expect("the store");
        open.set_len(length / 2 / 4096 * 4096).expect("it is cut");
    }),
    ("it is empty", |file| {
        fs::write(file, "").expect("it is emptied")
    }),
];

/// A daemon with tasks that sleep, with a good copy, stopped; with everything in the file itself.
fn damaged(damage: Damage) -> (tempfile::TempDir, std::path::PathBuf, Vec<u64>) {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "50ms"]);
    let mut ids = bulk(&daemon, 20, 5000);
    let asleep = daemon.submit("ex_sleeper", &["3600"], json!({}));
    daemon.until_asleep(asleep, Duration::ZERO);
    ids.push(asleep);
    daemon.stop();
    let copy = data.path().join("copy");
    let made = store(&["backup", copy.to_str().expect("UTF-8")], data.path());
    assert!(made.status.success(), "{made:?}");
    assert!(store(&["compact"], data.path()).status.success());
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(data.path().join(format!("store.sqlite{suffix}")));
    }
    damage(&data.path().join("store.sqlite"));
    (data, copy, ids)
}

#[test]
fn a_damaged_store_ends_with_what_to_do() {
    for (what, damage) in DAMAGES {
        let (data, copy, ids) = damaged(damage);
        let said = match Daemon::try_start(data.path(), &[]) {
            Err(said) => said,
            Ok(_) => panic!("it starts although {what}"),
        };
        assert!(said.contains("exit code Some(74)"), "{what}: {said}");
        for part in ["is damaged", "backup", "store check"] {
            assert!(said.contains(part), "{what}: {said}");
        }
        let checked = store(&["check"], data.path());
        assert_eq!(checked.status.code(), Some(74), "{what}: {checked:?}");
        assert!(
            text(&checked.stderr).contains("damaged"),
            "{what}: {checked:?}"
        );
        // A copy of it is refused, and nothing is left behind.
        let another = data.path().join("another");
        let copied = store(&["backup", another.to_str().expect("UTF-8")], data.path());
        assert_ne!(copied.status.code(), Some(0), "{what}: {copied:?}");
        assert!(!another.exists(), "{what}");
        let restored = Daemon::start(&copy, &[]);
        for id in ids {
            assert_eq!(restored.task(id)["state"], "hibernated", "{what}");
        }
    }
}

/// One byte of a snapshot: SQLite keeps no checksums, and cannot see it.
#[test]
fn damage_that_sqlite_does_not_see_is_found_and_pauses_the_task() {
    let (data, _, ids) = damaged(|_| {});
    let (asleep, file) = (ids[ids.len() - 1], data.path().join("store.sqlite"));
    let flip = format!(
        "UPDATE tasks SET due = 1, snapshot = CAST(substr(snapshot, 1, length(snapshot) - 6) || x'ff'
         || substr(snapshot, length(snapshot) - 4) AS BLOB) WHERE id = {asleep}"
    );
    let found = sqlite(&file, &[&flip, "PRAGMA integrity_check"]);
    assert_eq!(found, "ok");
    let checked = store(&["check"], data.path());
    assert_eq!(checked.status.code(), Some(74), "{checked:?}");
    let about = format!("task {asleep}: its snapshot");
    assert!(text(&checked.stdout).contains(&about), "{checked:?}");
    assert_eq!(text(&checked.stdout).lines().count(), 1, "{checked:?}");
    let daemon = Daemon::start(data.path(), &[]);
    let task = daemon.until(asleep, "paused");
    assert!(
        task["error"].as_str().expect("why").contains("damaged"),
        "{task}"
    );
    assert!(daemon.command(&["ps"]).status.success());
}
