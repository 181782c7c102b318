//! A component in Rust: counts sheep, and sleeps between them.

use std::collections::BTreeMap;
use std::time::Duration;

fn main() {
    let mut sheep = BTreeMap::new();
    for night in 1..=3 {
        sheep.insert(night, night * night);
        println!("night {night}: {sheep:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    let names: Vec<String> = std::env::args().skip(1).collect();
    match names.is_empty() {
        true => println!("good morning, all"),
        false => println!("good morning, {}", names.join(" ")),
    }
}
