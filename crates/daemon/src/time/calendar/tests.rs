//! Schedules against `oracle.py`, which walks through every minute of a year.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn parsed(expression: &str) -> Calendar {
    let expression: CronExpression = expression
        .parse()
        .unwrap_or_else(|error| panic!("{expression}: {error}"));
    Calendar::from(&expression)
}

fn zone_of(name: &str) -> TimeZone {
    TimeZone::get(name).expect("the system has its time zones")
}

/// Seconds since the Unix epoch.
fn at(text: &str) -> u64 {
    let time: jiff::Timestamp = text.parse().expect("a time");
    u64::try_from(time.as_second()).expect("after 1970")
}

/// A moment by its seconds since the Unix epoch.
fn moment(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * SECOND)
}

/// The starts after `from` and up to `until`, in seconds.
fn starts(expression: &str, zone: &TimeZone, from: u64, until: u64) -> Vec<u64> {
    let schedule = parsed(expression);
    let mut found = Vec::new();
    let mut now = moment(from);
    while let Some(next) = schedule.after(now, zone) {
        assert!(next > now, "{expression} after {now:?}");
        if next > moment(until) {
            break;
        }
        assert_eq!(next.subsec_nanos(), 0);
        found.push(next.seconds());
        now = next;
    }
    found
}

/// What the oracle says of each question.
fn oracle(questions: &[Value]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/time/calendar/oracle.py");
    let mut child = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut input = child.stdin.take().expect("piped");
    let lines: Vec<String> = questions.iter().map(|line| format!("{line}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.concat().as_bytes()));
    let output = child.wait_with_output().expect("the oracle ends");
    writer.join().expect("ends").expect("all was written");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

fn numbers(value: &Value) -> Vec<u64> {
    let list = value.as_array().expect("a list");
    list.iter().filter_map(Value::as_u64).collect()
}

/// Changes of an hour, of half an hour, of two; at midnight; of a day; none.
const YEARS: [(&str, i64); 10] = [
    ("America/New_York", 2027),
    ("Europe/London", 2026),
    ("Australia/Sydney", 2026),
    ("Australia/Lord_Howe", 2026),
    ("America/Sao_Paulo", 2018),
    ("UTC", 2026),
    ("Antarctica/Troll", 2026),
    ("Africa/Casablanca", 2026),
    ("Asia/Kathmandu", 2026),
    ("Pacific/Apia", 2011),
];

const EXPRESSIONS: [&str; 24] = [
    "* * * * *",
    "*/30 * * * *",
    "30 * * * *",
    "15,45 2 * * *",
    "15,45 1 * * *",
    "30 0 * * *",
    "0,30 0-3 * * *",
    "*/20 2 * * *",
    "10 */2 * * *",
    "0 * 29 2 *",
    "45 23 * * *",
    "0-59 1-2 * * *",
    "30 1,2,3 * * sun",
    "5 3 1-7 * sun",
    "0 9 */2 * 1",
    "0 9 1,15 * 1",
    "0 9 * * mon-fri",
    "1-59/7 4 * 2-12/3 *",
    "0 12 31 * 7",
    "@hourly",
    "@midnight",
    "@weekly",
    "@monthly",
    "@annually",
];

#[test]
fn a_year_of_each_zone_is_as_cron_would_have_it() {
    let questions: Vec<Value> = YEARS
        .iter()
        .flat_map(|(zone, year)| EXPRESSIONS.map(|e| question(zone, *year, e)))
        .collect();
    compare(&questions);
}

#[test]
fn any_expression_is_as_cron_would_have_it() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let questions: Vec<Value> = (0..160)
        .map(|_| {
            let (zone, year) = YEARS[random.usize(..5)];
            question(zone, year, &expression(&mut random))
        })
        .collect();
    let answers = compare(&questions);
    let refused = answers.iter().filter(|answer| answer["refused"] == true);
    let refused = refused.count();
    assert!((10..150).contains(&refused), "{refused} of 160 are refused");
}

fn question(zone: &str, year: i64, expression: &str) -> Value {
    json!({"zone": zone, "year": year, "expression": expression})
}

fn compare(questions: &[Value]) -> Vec<Value> {
    let answers = oracle(questions);
    for (question, answer) in questions.iter().zip(&answers) {
        let expression = question["expression"].as_str().expect("text");
        if answer["refused"] == true {
            let found: Result<CronExpression, _> = expression.parse();
            assert!(found.is_err(), "{expression:?} is taken");
            continue;
        }
        let zone = zone_of(question["zone"].as_str().expect("text"));
        let year = question["year"].as_i64().expect("a number");
        let begin = at(&format!("{year}-01-01T00:00:00Z"));
        let end = at(&format!("{}-01-01T00:00:00Z", year + 1));
        let times = numbers(&answer["times"]);
        let mut spans = vec![(begin, end)];
        if times.len() > 20_000 {
            // Around the changes; elsewhere one minute is like another.
            let changes = numbers(&answer["changes"]).into_iter().chain([begin]);
            let day = 86_400;
            let spans_of = |at: u64| (at.saturating_sub(day).max(begin), (at + day).min(end));
            spans = changes.map(spans_of).collect();
        }
        for (from, until) in spans {
            let expected: Vec<u64> = times
                .iter()
                .copied()
                .filter(|time| (from..until).contains(time))
                .collect();
            let found = starts(expression, &zone, from - 1, until - 1);
            let differs = (0..)
                .zip(&expected)
                .find(|(n, time)| found.get(*n) != Some(time));
            assert!(
                found == expected,
                "{question}: expected {differs:?} of {}, found {} such as {:?}",
                expected.len(),
                found.len(),
                differs.and_then(|(n, _)| found.get(n))
            );
        }
    }
    answers
}

/// An expression such as somebody might write, or mistype.
fn expression(random: &mut fastrand::Rng) -> String {
    let fields = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
    let names = [
        &[][..],
        &[],
        &[],
        &["jan", "FEB", "Jul", "dec"],
        &["sun", "MON", "Thu", "sat"],
    ];
    let texts = fields.iter().zip(names).map(|((low, high), names)| {
        let one = |random: &mut fastrand::Rng| {
            let beyond = u32::from(random.u8(..60) == 0);
            match names.is_empty() || random.u8(..4) > 0 {
                true => random.u32(*low..=*high + beyond).to_string(),
                false => names[random.usize(..names.len())].to_string(),
            }
        };
        let members = match random.u8(..6) {
            0 => 2,
            1 => 3,
            _ => 1,
        };
        let members: Vec<String> = (0..members)
            .map(|_| match random.u8(..24) {
                0..6 => "*".into(),
                6..10 => format!("*/{}", random.u32(1..*high + 2)),
                10..17 => one(random),
                17..20 => {
                    let (a, b) = (random.u32(*low..=*high), random.u32(*low..=*high));
                    format!("{}-{}", a.min(b), a.max(b))
                }
                20 => format!("{}-{}/{}", one(random), one(random), random.u32(0..9)),
                21 => format!("{}-{high}/{}", random.u32(*low..=*high), random.u32(1..9)),
                22 => format!("{}-{}", one(random), one(random)),
                _ => ["", "x", "-1", "5/2", "*-3", "1-2-3", "+1", "1/", "**"][random.usize(..9)]
                    .into(),
            })
            .collect();
        members.join(",")
    });
    let texts: Vec<String> = texts.collect();
    texts.join(" ")
}

/// What was wrong: chrono handed over the two times of an hour that comes twice in the wrong order.
#[test]
fn the_hour_that_comes_twice_is_not_skipped() {
    let zone = zone_of("America/New_York");
    let next = |expression: &str, now: &str| {
        let found = parsed(expression).after(moment(at(now)), &zone);
        let found = found.expect("it holds").seconds();
        jiff::Timestamp::from_second(i64::try_from(found).expect("fits"))
            .expect("fits")
            .to_string()
    };
    let autumn = "2027-11-07T04:59:30Z";
    assert_eq!(next("* * * * *", autumn), "2027-11-07T05:00:00Z");
    assert_eq!(next("*/30 * * * *", autumn), "2027-11-07T05:00:00Z");
    assert_eq!(next("30 * * * *", autumn), "2027-11-07T05:30:00Z");
    assert_eq!(next("30 1 * * *", autumn), "2027-11-07T05:30:00Z");
    assert_eq!(
        next("30 1 * * *", "2027-11-07T05:30:00Z"),
        "2027-11-08T06:30:00Z"
    );
    let spring = "2027-03-14T06:59:30Z";
    assert_eq!(next("15,45 2 * * *", spring), "2027-03-14T07:00:00Z");
    assert_eq!(
        next("15,45 2 * * *", "2027-03-14T07:00:00Z"),
        "2027-03-15T06:15:00Z"
    );
    assert_eq!(next("*/30 2 * * *", spring), "2027-03-15T06:00:00Z");
}

#[test]
fn what_is_not_crontabs_is_refused_in_words_that_name_it() {
    let wrong = [
        ("", "0 fields"),
        ("whenever", "1 fields"),
        ("* * * *", "4 fields"),
        ("0 * * * * * 2030", "years"),
        ("1,,2 * * * *", "nothing beside a comma"),
        (",1 * * * *", "nothing beside a comma"),
        ("60 * * * *", "the minute is \"60\""),
        ("* 24 * * *", "the hour is \"24\""),
        ("* * 0 * *", "none of 1 to 31"),
        ("* * * 13 *", "or jan to dec"),
        ("* * * foo *", "\"foo\" is none of"),
        ("* * * * 8", "none of 0 to 7"),
        ("* * * * january", "\"january\" is none of"),
        ("*/0 * * * *", "no number from 1 on"),
        ("*/ * * * *", "no number from 1 on"),
        ("*/+5 * * * *", "has no '+'"),
        ("5/15 * * * *", "write 5-59/15"),
        ("50-10 * * * *", "write 50-59,0-10"),
        ("* * * * fri-mon", "runs backwards"),
        ("* * L * *", "has no L (last)"),
        ("* * 15W * *", "no W (nearest"),
        ("* * LW * *", "no W (nearest"),
        ("* * * * 5L", "has no L (last)"),
        ("* * * * mon#2", "has no '#'"),
        ("* * ? * *", "write * for ?"),
        ("* * * * +1", "has no '+'"),
        ("0~30 * * * *", "has no '~'"),
        ("H * * * *", "\"H\" is none of"),
        ("@reboot", "names no time"),
        ("@every 5m", "of names there are"),
        ("@fortnightly", "of names there are"),
    ];
    for (expression, told) in wrong {
        let found: Result<CronExpression, _> = expression.parse();
        let error = found.expect_err(expression).to_string();
        assert!(error.contains(told), "{expression:?}: {error}");
    }
}

#[test]
fn seconds_names_and_nicknames_read_as_documented() {
    let same = [
        ("0 0 * * 0", "@weekly"),
        ("0 0 * * 7", "0 0 * * SUN"),
        ("0 0 1 1 *", "@Yearly"),
        ("0 0 * * *", "@midnight"),
        ("0 0 * * 5,6,0", "0 0 * * fri-sun"),
        ("0 0 * * 0-2", "0 0 * * Sun-Tue"),
        ("0 5 * * * *", "5 * * * *"),
        (" 05\t* * * *  ", "5 * * * *"),
    ];
    for (one, other) in same {
        assert_eq!(parsed(one), parsed(other), "{one} {other}");
    }
    let utc = TimeZone::UTC;
    let now = at("2030-01-01T00:00:00Z");
    let tens: Vec<u64> = (1..=6).map(|n| now + 10 * n).collect();
    assert_eq!(starts("*/10 * * * * *", &utc, now, now + 60), tens);
}

#[test]
fn what_never_holds_has_no_time() {
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        assert_eq!(
            parsed(never).after(Timestamp::EPOCH, &zone_of("Europe/London")),
            None
        );
    }
    let rare = parsed("0 0 29 2 *").after(moment(at("2096-03-01T00:00:00Z")), &TimeZone::UTC);
    assert_eq!(rare, Some(moment(at("2104-02-29T00:00:00Z"))));
    assert_eq!(
        parsed("* * * * *").after(Timestamp::MAX, &TimeZone::UTC),
        None
    );
}

/// Where the clock was set back after a start.
#[test]
fn a_clock_set_back_repeats_what_cron_would_repeat() {
    let (minute, hour) = (60 * SECOND, 3600 * SECOND);
    let last = 1_800_000_000 * SECOND;
    let (fixed, any) = (parsed("0 4 * * *"), parsed("* * * * *"));
    let look_from = |schedule: &Calendar, now: u64, last: Option<u64>| {
        let last = last.map(Timestamp::from_nanos);
        schedule
            .look_from(Timestamp::from_nanos(now), last)
            .as_nanos()
    };
    for schedule in [&fixed, &any] {
        assert_eq!(look_from(schedule, last + 1, Some(last)), last + 1);
        assert_eq!(look_from(schedule, last - SECOND, Some(last)), last);
        assert_eq!(
            look_from(schedule, last - 3 * hour, Some(last)),
            last - 3 * hour
        );
        assert_eq!(look_from(schedule, last, None), last);
    }
    assert_eq!(look_from(&fixed, last - 2 * hour, Some(last)), last);
    assert_eq!(look_from(&any, last - minute, Some(last)), last - minute);
}
