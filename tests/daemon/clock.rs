//! The wall clock of a daemon is set: sleeps and schedules go on, and what waits for a time of day follows.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse::daemon::{Daemon as Embedded, Options as DaemonOptions, TaskInfo};
use dormouse::model::clock::{Clock as _, SimClock};
use dormouse::model::spec::{Moment, Schedule};
use dormouse::model::{TaskId, TaskSpec, TaskState, Timestamp};
use dormouse::store::Sqlite;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::faketime::Clock;
use crate::support::{Daemon, folder};
use dormouse_test_support::guest;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DECADE: u64 = 87_600 * HOUR;
/// 2027-01-15T08:00:00Z.
const MORNING: u64 = 1_800_000_000 * SECOND;

/// Whatever is waited for has come by then, or never does.
const PATIENCE: Duration = Duration::from_secs(120);

/// A moment by its nanoseconds since the Unix epoch.
fn wall(nanoseconds: u64) -> Timestamp {
    Timestamp::from_nanos(nanoseconds)
}

/// A daemon in this process, whose clock moves as it is told.
struct Simulated {
    daemon: Arc<Embedded>,
}

impl Simulated {
    fn start(data: &Path, clock: &Arc<SimClock>) -> Self {
        let store = Arc::new(Sqlite::open(data).expect("the store opens"));
        let options = DaemonOptions {
            clock: Some(clock.clone()),
            workers: Some(1),
            ..DaemonOptions::default()
        };
        Self {
            daemon: Embedded::start(store, options).expect("it starts"),
        }
    }

    async fn submit(&self, args: &[&str], every: Option<&str>, at: Option<u64>) -> TaskId {
        let wasm = std::fs::read(guest("ex_sleeper")).expect("it is there");
        let module = self.daemon.add_module(wasm).await.expect("it is a module");
        let spec = TaskSpec {
            module: Some(module.into()),
            program: Some("sleeper".into()),
            args: args.iter().map(|a| a.to_string()).collect(),
            schedule: Schedule {
                at: at.map(|at| Moment::At(wall(at))),
                every: every.map(|every| every.parse().expect("an expression")),
            },
            // It goes by a clock that nobody sets.
            limits: ["time=2h".parse().expect("a limit")].into(),
            ..TaskSpec::default()
        };
        let ids = self.daemon.submit(vec![spec]).await.expect("stored");
        let id = ids.into_iter().next().expect("one");
        id.expect("it is taken")
    }

    async fn until(&self, what: &str, id: TaskId, holds: impl Fn(&TaskInfo) -> bool) -> TaskInfo {
        let since = Instant::now();
        loop {
            let task = self.daemon.task(id).await.expect("it is there");
            if holds(&task) {
                return task;
            }
            assert!(since.elapsed() < PATIENCE, "never: {what}: {task:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asleep in the store, in the middle of its run.
    async fn until_asleep(&self, id: TaskId) {
        let asleep =
            |task: &TaskInfo| task.state == TaskState::Hibernated && task.status.wait.is_some();
        self.until("it sleeps", id, asleep).await;
    }

    /// Waits until a schedule has it start then, by the wall clock.
    async fn until_scheduled(&self, id: TaskId, at: u64) {
        let then = |task: &TaskInfo| task.wakes == Some(wall(at));
        self.until(&format!("it starts at {at}"), id, then).await;
    }

    async fn state(&self, id: TaskId) -> TaskState {
        self.daemon.task(id).await.expect("it is there").state
    }
}

/// It waited two hours for its five seconds, and the job of each minute too.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_delays_nothing() {
    let data = folder();
    let clock = Arc::new(SimClock::booted(wall(MORNING), 1));
    let dormouse = Simulated::start(data.path(), &clock);
    let sleeper = dormouse.submit(&["5", "0", "1"], None, None).await;
    let minutely = dormouse
        .submit(&["0", "0", "1"], Some("* * * * *"), None)
        .await;
    let appointment = dormouse
        .submit(&["0", "0", "1"], None, Some(MORNING + HOUR))
        .await;
    dormouse.until_asleep(sleeper).await;
    dormouse.until_scheduled(minutely, MORNING + MINUTE).await;

    clock.set_realtime(wall(MORNING - 2 * HOUR));
    dormouse
        .until_scheduled(minutely, MORNING - 2 * HOUR + MINUTE)
        .await;
    clock.advance(Duration::from_nanos(5 * SECOND));
    let over = |task: &TaskInfo| task.state == TaskState::Exited;
    dormouse.until("it has slept", sleeper, over).await;
    clock.advance(Duration::from_nanos(MINUTE));
    let ran = |task: &TaskInfo| task.status.runs == 1;
    dormouse.until("it runs", minutely, ran).await;
    clock.advance(Duration::from_nanos(2 * HOUR));
    dormouse
        .until_scheduled(minutely, MORNING + 2 * MINUTE)
        .await;
    let early = dormouse.state(appointment).await;
    assert_eq!(early, TaskState::Hibernated, "its hour has not come");
    clock.advance(Duration::from_nanos(HOUR));
    dormouse.until("its hour has come", appointment, over).await;
    dormouse.daemon.close().await;
}

/// The same with a daemon that was down while the clock was set.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_while_no_daemon_runs_delays_nothing() {
    let data = folder();
    let clock = Arc::new(SimClock::booted(wall(MORNING), 1));
    let before = Simulated::start(data.path(), &clock);
    let sleeper = before.submit(&["5", "0", "1"], None, None).await;
    let long = before.submit(&["3600", "0", "1"], None, None).await;
    let minutely = before
        .submit(&["0", "0", "1"], Some("* * * * *"), None)
        .await;
    before.until_asleep(sleeper).await;
    before.until_asleep(long).await;
    before.daemon.close().await;
    drop(before);

    clock.advance(Duration::from_nanos(2 * SECOND));
    clock.set_realtime(wall(MORNING - 2 * HOUR));
    let after = until_started(data.path(), &clock).await;
    after
        .until_scheduled(minutely, MORNING - 2 * HOUR + MINUTE)
        .await;
    assert_eq!(
        after.state(sleeper).await,
        TaskState::Hibernated,
        "3 s are left"
    );
    clock.advance(Duration::from_nanos(3 * SECOND));
    let over = |task: &TaskInfo| task.state == TaskState::Exited;
    after.until("it has slept", sleeper, over).await;
    assert_eq!(after.state(long).await, TaskState::Hibernated);
    after.daemon.close().await;
    drop(after);

    // The machine is off for half an hour, and comes up with a clock that is right.
    let off = HOUR / 2;
    let anew = Arc::new(SimClock::booted(
        clock.realtime().saturating_add(Duration::from_nanos(off)),
        2,
    ));
    let third = until_started(data.path(), &anew).await;
    anew.advance(Duration::from_nanos(HOUR - off - 10 * SECOND));
    third
        .until_scheduled(
            minutely,
            anew.realtime().as_nanos() / MINUTE * MINUTE + MINUTE,
        )
        .await;
    assert_eq!(third.state(long).await, TaskState::Hibernated);
    anew.advance(Duration::from_nanos(20 * SECOND));
    third.until("it has slept for an hour", long, over).await;
    third.daemon.close().await;
}

/// A daemon that is closed lets go of its store a little later.
async fn until_started(data: &Path, clock: &Arc<SimClock>) -> Simulated {
    let since = Instant::now();
    while let Err(error) = Sqlite::open(data) {
        assert!(since.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Simulated::start(data, clock)
}

/// It was moved there, and stayed.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_far_ahead_for_a_moment_moves_no_schedule() {
    let data = folder();
    let clock = Arc::new(SimClock::booted(wall(MORNING), 1));
    let dormouse = Simulated::start(data.path(), &clock);
    let sleeper = dormouse.submit(&["3600", "0", "1"], None, None).await;
    let minutely = dormouse
        .submit(&["0", "0", "1"], Some("* * * * *"), None)
        .await;
    let daily = dormouse
        .submit(&["0", "0", "1"], Some("0 0 * * *"), None)
        .await;
    dormouse.until_asleep(sleeper).await;
    let before = dormouse.daemon.task(daily).await.expect("it is there");
    clock.advance(Duration::from_nanos(30 * SECOND));

    clock.set_realtime(wall(MORNING + DECADE));
    // What is due by then runs once, as if the daemon had been down for so long.
    let moved =
        |task: &TaskInfo| task.status.runs == 1 && task.wakes > Some(wall(MORNING + DECADE));
    dormouse
        .until("it has run, and waits for 2037", minutely, moved)
        .await;
    dormouse
        .until("it has run, and waits for 2037", daily, moved)
        .await;
    assert_eq!(dormouse.state(sleeper).await, TaskState::Hibernated);

    clock.advance(Duration::from_nanos(SECOND));
    clock.set_realtime(wall(MORNING + 31 * SECOND));
    dormouse.until_scheduled(minutely, MORNING + MINUTE).await;
    let wakes = before.wakes.expect("a time").as_nanos();
    dormouse.until_scheduled(daily, wakes).await;
    clock.advance(Duration::from_nanos(MINUTE));
    let ran = |task: &TaskInfo| task.status.runs == 2;
    dormouse.until("it goes on", minutely, ran).await;
    assert_eq!(dormouse.state(sleeper).await, TaskState::Hibernated);
    dormouse.daemon.close().await;
}

/// The real program, under a clock that is set.
struct Faked {
    clock: Clock,
    /// Holds the clock's file.
    _scratch: tempfile::TempDir,
}

impl Faked {
    /// `None` where there is no libfaketime.
    fn new() -> Option<Self> {
        let scratch = folder();
        let clock = Clock::new(scratch.path());
        if !clock.is_there() {
            println!("skipped: there is no libfaketime");
            return None;
        }
        Some(Self {
            clock,
            _scratch: scratch,
        })
    }

    fn start(&self, data: &Path, zone: &str) -> Daemon {
        let environment = self.clock.environment();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain([("TZ", zone)])
            .collect();
        Daemon::try_start_in(&environment, data, &[])
            .unwrap_or_else(|text| panic!("the daemon did not start:\n{text}"))
    }
}

fn seconds(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("{time} is no time"));
    let time = humantime_seconds(text);
    time.unwrap_or_else(|| panic!("{text} is no time"))
}

/// Seconds since the Unix epoch of a time in UTC.
fn humantime_seconds(text: &str) -> Option<i64> {
    let output = std::process::Command::new("date")
        .args(["--utc", "--date", text, "+%s"])
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn now(daemon: &Daemon) -> i64 {
    let (status, stats) = daemon.json(Method::GET, "/v1/stats", &Value::Null);
    assert_eq!(status, 200, "{stats}");
    seconds(&stats["now"])
}

/// How many seconds it is until a task starts or wakes, by the daemon's own clock.
fn left(daemon: &Daemon, id: u64) -> i64 {
    let wakes = daemon.task(id)["wakes"].clone();
    seconds(&wakes) - now(daemon)
}

#[test]
fn the_real_daemon_notices_that_its_clock_is_set() {
    let Some(faked) = Faked::new() else { return };
    let data = folder();
    let daemon = faked.start(data.path(), "UTC");
    let sleeper = daemon.submit("ex_sleeper", &["10", "0", "1"], json!({}));
    let other = daemon.submit("ex_sleeper", &["20", "0", "1"], json!({}));
    let minutely = daemon.submit(
        "c_args_env",
        &[],
        json!({"schedule": {"every": "* * * * *"}}),
    );
    let secondly = daemon.submit(
        "c_args_env",
        &[],
        json!({"schedule": {"every": "* * * * * *"}}),
    );
    for id in [sleeper, other] {
        daemon.until(id, "hibernated");
    }
    faked.clock.jump(-7200);
    daemon.until_that("the step is noticed", || {
        (left(&daemon, minutely) <= 60).then_some(())
    });
    let runs = |daemon: &Daemon| daemon.task(secondly)["runs"].as_u64().unwrap_or(0);
    let before = runs(&daemon);
    daemon.until_that("it goes on every second", || {
        (runs(&daemon) > before + 1).then_some(())
    });
    daemon.until(sleeper, "exited");

    // Over a restart too.
    daemon.kill();
    faked.clock.jump(-7200);
    let daemon = faked.start(data.path(), "UTC");
    daemon.until(other, "exited");
    daemon.until_that("it is judged anew", || {
        (left(&daemon, minutely) <= 60).then_some(())
    });

    // Ten years ahead, and back.
    let decade = 10 * 365 * 86_400;
    let real = now(&daemon);
    let long = daemon.submit("ex_sleeper", &["3600", "0", "1"], json!({}));
    daemon.until(long, "hibernated");
    faked.clock.jump(decade);
    daemon.until_that("the step is noticed", || {
        let wakes = seconds(&daemon.task(minutely)["wakes"]);
        (wakes > real + decade / 2).then_some(())
    });
    faked.clock.jump(-decade);
    daemon.until_that("the schedule is where it was", || {
        (left(&daemon, minutely) <= 60).then_some(())
    });
    assert_eq!(
        daemon.task(long)["state"],
        "hibernated",
        "its hour is not over"
    );
}

/// chrono gave 06:30, an hour late.
#[test]
fn the_real_daemon_follows_its_time_zone() {
    let Some(faked) = Faked::new() else { return };
    let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let real = i64::try_from(real.expect("after 1970").as_secs()).expect("fits");
    let autumn = humantime_seconds("2027-11-07T04:59:30Z").expect("a time");
    faked.clock.jump(autumn - real);
    let data = folder();
    let daemon = faked.start(data.path(), "America/New_York");
    let expected = [
        ("30 * * * *", "2027-11-07T05:30:00.000Z"),
        ("45 1 * * *", "2027-11-07T05:45:00.000Z"),
        ("0 9 */2 * 1", "2027-11-15T14:00:00.000Z"),
        ("@midnight", "2027-11-08T05:00:00.000Z"),
    ];
    for (every, wakes) in expected {
        let id = daemon.submit("c_args_env", &[], json!({"schedule": {"every": every}}));
        assert_eq!(daemon.task(id)["wakes"], wakes, "{every}");
    }
    let (status, told) = daemon.json(
        Method::POST,
        "/v1/tasks",
        &json!({"module": daemon.upload("c_args_env"), "schedule": {"every": "1,,2 * * * *"}}),
    );
    assert_eq!(status, 400, "{told}");
    assert!(
        told.to_string().contains("nothing beside a comma"),
        "{told}"
    );
}
