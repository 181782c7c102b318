//! Three nodes on one store, in a time of their own: what they do beside each other happens at moments
//! that a seed draws, and so do their faults. The drivers, the journals, the workers with real guests,
//! the leases and the gate are those of the daemon; the store is the reference, behind a line that may
//! be cut.
//!
//! ```text
//!   seed --> world --- kills, stops, cuts lines, loses answers, submits, asks
//!              |
//!              +-- node a --- driver, journal, worker, beats ---.
//!              +-- node b --- the same ------------------------ line -- the reference store
//!              `-- node c --- the same -------------------------'
//! ```
//!
//! What has to hold, whatever happens: all that a task wrote is in the store once and in order; nothing
//! is done outside of a guest while another node has its task; and once the faults are over, all tasks
//! come to their end. `DORMOUSE_SIMULATION_SEED` and `DORMOUSE_SIMULATION_SEEDS` say with which seed to
//! begin, and how many to try.

mod chance;
mod line;
mod node;
mod tasks;
mod world;

use self::chance::Chance;
use self::line::Planted;
use self::world::World;

/// How many seeds are tried if nothing else is said.
const SEEDS: u64 = 300;

fn setting(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs the world of one seed; returns what it did, and what went wrong.
fn run(seed: u64, planted: Planted) -> (Vec<String>, Result<(), String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = World::new(seed, planted);
        let outcome = world.run().await;
        (world.trace(), outcome)
    })
}

#[test]
fn every_line_is_written_once_whatever_fails() {
    let first = setting("DORMOUSE_SIMULATION_SEED", 1);
    let count = setting("DORMOUSE_SIMULATION_SEEDS", SEEDS);
    for seed in first..first + count {
        let (trace, outcome) = run(seed, Planted::Nothing);
        if let Err(wrong) = outcome {
            panic!("seed {seed}: {wrong}\n{}", trace.join("\n"));
        }
    }
}

/// Otherwise a seed that fails would be of no use.
#[test]
fn a_seed_says_all_that_happens() {
    for seed in [1, 2, 3] {
        let (one, other) = (run(seed, Planted::Nothing).0, run(seed, Planted::Nothing).0);
        assert!(one.len() > 40, "{} events are too few", one.len());
        for (number, (left, right)) in one.iter().zip(&other).enumerate() {
            assert_eq!(left, right, "event {number} of seed {seed}");
        }
        assert_eq!(one.len(), other.len());
    }
}

/// How many seeds it takes at most to find a fence that is wrong.
const FOUND_WITHIN: u64 = 200;

fn is_found(planted: Planted) {
    let found = (1..=FOUND_WITHIN).find_map(|seed| run(seed, planted).1.err());
    let found = found.unwrap_or_else(|| panic!("{planted:?} is not found"));
    println!("{planted:?}: {found}");
}

#[test]
fn a_claim_that_takes_what_another_node_has_is_found() {
    is_found(Planted::GreedyClaims);
}

#[test]
fn a_change_that_no_fence_stops_is_found() {
    is_found(Planted::LateCommits);
}

#[test]
fn a_gate_that_never_closes_is_found() {
    is_found(Planted::OpenGate);
}
