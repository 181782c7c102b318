//! Behaviour: a panic after a sleep, which on this target ends as a trap; the hook and stdout before it work.
use std::thread::sleep;
use std::time::Duration;

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        println!("never printed: a panic does not unwind here");
    }
}

fn main() {
    // The message goes to stdout, where it is compared.
    std::panic::set_hook(Box::new(|info| {
        sleep(Duration::from_millis(10));
        let what = info.payload().downcast_ref::<String>().map_or("?", |s| s.as_str());
        println!("hook: {what}");
    }));
    let _guard = Guard;
    let v: Vec<u32> = (0..5).collect();
    for i in 3.. {
        sleep(Duration::from_millis(10));
        println!("at {i}");
        if i >= v.len() {
            panic!("index {i} of {}", v.len());
        }
        println!("is {}", v[i]);
    }
}
