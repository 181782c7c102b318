//! Clocks, pollables and random numbers: sleeps of each kind, and polls for several.

use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::io::poll;
use wasi::random::{insecure, insecure_seed, random};

fn main() {
    let start = monotonic_clock::now();
    println!("resolution is set: {}", monotonic_clock::resolution() > 0);
    let wall = wall_clock::now();
    println!(
        "wall: {}",
        wall.seconds > 1_600_000_000 && wall.nanoseconds < 1_000_000_000
    );
    println!(
        "wall resolution: {}",
        wall_clock::resolution().nanoseconds > 0
    );

    monotonic_clock::subscribe_duration(20_000_000).block();
    let after = monotonic_clock::now();
    println!("slept long enough: {}", after - start >= 20_000_000);
    let instant = after + 10_000_000;
    let pollable = monotonic_clock::subscribe_instant(instant);
    println!("ready at once: {}", pollable.ready());
    pollable.block();
    println!(
        "ready then: {} {}",
        pollable.ready(),
        monotonic_clock::now() >= instant
    );

    // The first and the last are over at once; the second is far away.
    let past = monotonic_clock::subscribe_instant(0);
    let future = monotonic_clock::subscribe_duration(3_600_000_000_000);
    let none = monotonic_clock::subscribe_duration(0);
    println!("ready: {:?}", poll::poll(&[&past, &future, &none]));
    let soon = monotonic_clock::subscribe_duration(15_000_000);
    println!("ready: {:?}", poll::poll(&[&future, &soon]));
    // A pollable may be named twice.
    println!("ready: {:?}", poll::poll(&[&soon, &future, &soon]));
    drop(future);

    let bytes = random::get_random_bytes(100);
    println!(
        "random: {} {}",
        bytes.len(),
        bytes.iter().any(|byte| *byte != bytes[0])
    );
    println!("none: {}", random::get_random_bytes(0).len());
    println!(
        "differ: {}",
        random::get_random_u64() != random::get_random_u64()
    );
    println!("insecure: {}", insecure::get_insecure_random_bytes(9).len());
    println!(
        "differ: {}",
        insecure::get_insecure_random_u64() != insecure::get_insecure_random_u64()
    );
    println!(
        "seed: {}",
        insecure_seed::insecure_seed() == insecure_seed::insecure_seed()
    );
}
