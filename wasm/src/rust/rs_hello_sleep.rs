//! Behaviour: std::thread::sleep between lines; Instant and SystemTime never go back over it.
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

fn main() {
    println!("hello from Rust");
    let (start, wall) = (Instant::now(), SystemTime::now());
    for n in 1..=4 {
        let before = Instant::now();
        sleep(Duration::from_millis(8 * n));
        println!("slept {n}, long enough: {}", before.elapsed() >= Duration::from_millis(8 * n));
    }
    println!("total long enough: {}", start.elapsed() >= Duration::from_millis(80));
    println!("wall clock not back: {}", wall.elapsed().is_ok());
    print!("bye, without a newline");
}
