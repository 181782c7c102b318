//! Random calls on both.

use proptest::prelude::*;

use super::*;

/// A few names, so that they meet.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => Just("a"), 6 => Just("b"), 4 => Just("d"), 4 => Just("e"), 3 => Just("l"),
        1 => Just("."), 2 => Just(".."),
    ];
    let parts = prop::collection::vec(part, 1..4);
    (parts, 1..12u8).prop_map(|(parts, end)| {
        let path = parts.join("/");
        match end {
            1 => format!("/{path}"),
            2 => path.replace('/', "//"),
            3 => format!("{path}/"),
            4 => format!("{path}/."),
            _ => path,
        }
    })
}

fn step(sleeps: bool) -> impl Strategy<Value = Step> {
    // The directory itself most often; then whatever has been opened.
    let dir = || prop_oneof![6 => Just(ROOT_FD), 3 => 4..7u32];
    let fd = || 3..8u32;
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let oflags = prop_oneof![4 => Just(0), 6 => Just(1), 2 => Just(9), 1 => Just(5), 2 => Just(2), 1 => 0..16u32];
    let open = (
        dir(),
        any::<bool>(),
        path(),
        oflags,
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    prop_oneof![
        8 => open.prop_map(|(a, b, c, d, e, f)| Step::Open(a, b, c, d, e, f)),
        2 => fd().prop_map(|fd| Step::Close(fd.max(4))),
        4 => (dir(), path()).prop_map(|(a, b)| Step::MakeDir(a, b)),
        2 => (dir(), path()).prop_map(|(a, b)| Step::RemoveDir(a, b)),
        3 => (dir(), path()).prop_map(|(a, b)| Step::Unlink(a, b)),
        4 => (dir(), path(), dir(), path()).prop_map(|(a, b, c, d)| Step::Rename(a, b, c, d)),
        2 => (dir(), path(), dir(), path()).prop_map(|(a, b, c, d)| Step::Link(a, b, c, d)),
        3 => (path(), dir(), path()).prop_map(|(a, b, c)| Step::Symlink(a, b, c)),
        1 => (dir(), path()).prop_map(|(a, b)| Step::ReadLink(a, b)),
        3 => (dir(), any::<bool>(), path()).prop_map(|(a, b, c)| Step::Stat(a, b, c)),
        1 => (dir(), any::<bool>(), path()).prop_map(|(a, b, c)| Step::SetTimes(a, b, c)),
        1 => fd().prop_map(Step::FdStat),
        1 => fd().prop_map(Step::FdStatus),
        1 => (fd(), prop_oneof![Just(0), Just(1), Just(4), 0..32u64]).prop_map(|(a, b)| Step::SetFlags(a, b)),
        6 => (fd(), bytes()).prop_map(|(a, b)| Step::Write(a, b)),
        4 => (fd(), 0..60u32).prop_map(|(a, b)| Step::Read(a, b)),
        2 => (fd(), bytes(), 0..90u64).prop_map(|(a, b, c)| Step::WriteAt(a, b, c)),
        2 => (fd(), 0..60u32, 0..90u64).prop_map(|(a, b, c)| Step::ReadAt(a, b, c)),
        3 => (fd(), -20..60i64, 0..4u64).prop_map(|(a, b, c)| Step::Seek(a, b, c)),
        1 => fd().prop_map(Step::Tell),
        2 => (fd(), prop_oneof![0..100u64, Just(u64::MAX)]).prop_map(|(a, b)| Step::SetSize(a, b)),
        1 => fd().prop_map(Step::Flush),
        1 => (fd(), 0..8u64).prop_map(|(a, b)| Step::Advise(a, b)),
        3 => fd().prop_map(Step::List),
        1 => (4..8u32, 4..8u32).prop_map(|(a, b)| Step::Renumber(a, b)),
        2 => Just(if sleeps { Step::Sleep } else { Step::List(ROOT_FD) }),
    ]
}

fn compare(steps: &[Step], also: impl Fn(&Step) -> bool) -> std::result::Result<(), TestCaseError> {
    let (mut real, mut memory) = (Side::new(true, 0), Side::new(false, 64 << 20));
    for (index, step) in steps.iter().enumerate() {
        let (there, here) = match also(step) {
            true => (real.run(step), memory.run(step)),
            false => ("slept".into(), memory.run(step)),
        };
        prop_assert_eq!(here, there, "call {}: {:?}", index, step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_a_real_directory_does(steps in prop::collection::vec(step(false), 1..60)) {
        compare(&steps, |_| true)?;
    }

    /// The real directory stays; the one in memory goes through a snapshot now and then.
    #[test]
    fn it_survives_a_snapshot_as_if_nothing_had_been(steps in prop::collection::vec(step(true), 1..60)) {
        compare(&steps, |step| !matches!(step, Step::Sleep))?;
    }
}

fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(400)
}
