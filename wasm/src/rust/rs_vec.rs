//! Behaviour: collections, strings, trait objects, iterators, closures and Drop, all alive across sleeps.
use std::cell::RefCell;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::{Rc, Weak};
use std::thread::sleep;
use std::time::Duration;

fn nap() {
    sleep(Duration::from_millis(5));
}

/// std's own hasher is seeded from random bytes, and the order of a map is printed below.
#[derive(Default)]
struct Fixed(u64);

impl Hasher for Fixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

trait Shape {
    fn area(&self) -> f64;
    fn name(&self) -> String;
}

struct Square(f64);
struct Circle(f64);

impl Shape for Square {
    fn area(&self) -> f64 {
        nap();
        self.0 * self.0
    }
    fn name(&self) -> String {
        format!("square {}", self.0)
    }
}

impl Shape for Circle {
    fn area(&self) -> f64 {
        nap();
        self.0 * self.0 * 3.0
    }
    fn name(&self) -> String {
        format!("circle {}", self.0)
    }
}

struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        nap();
        println!("drop {}", self.0);
    }
}

struct Node {
    name: String,
    parent: RefCell<Weak<Node>>,
    children: RefCell<Vec<Rc<Node>>>,
}

fn node(name: &str, parent: Option<&Rc<Node>>) -> Rc<Node> {
    let new = Rc::new(Node {
        name: name.to_string(),
        parent: RefCell::new(parent.map_or_else(Weak::new, Rc::downgrade)),
        children: RefCell::default(),
    });
    if let Some(p) = parent {
        p.children.borrow_mut().push(new.clone());
    }
    new
}

fn print_tree(n: &Rc<Node>, depth: usize) {
    nap();
    let above = n.parent.borrow().upgrade().map_or("nobody".to_string(), |p| p.name.clone());
    println!("{:depth$}{} below {above}", "", n.name);
    for child in n.children.borrow().iter() {
        print_tree(child, depth + 1);
    }
}

fn main() {
    let mut hashed: HashMap<String, usize, BuildHasherDefault<Fixed>> = HashMap::default();
    let mut sorted = BTreeMap::new();
    for (i, word) in "the quick brown fox jumps over the lazy dog and the dormouse".split(' ').enumerate() {
        *hashed.entry(word.to_string()).or_default() += i;
        sorted.entry(word.len()).or_insert_with(Vec::new).push(word);
        if i % 4 == 0 {
            nap();
        }
    }
    // The iterators are in the middle of their maps while it sleeps.
    for (i, (word, n)) in hashed.iter().enumerate() {
        if i % 4 == 1 {
            nap();
        }
        println!("{word} {n}");
    }
    for (length, words) in &sorted {
        nap();
        println!("{length}: {}", words.join(" "));
    }

    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Square(1.5)), Box::new(Circle(2.0)), Box::new(Square(3.0))];
    let total: f64 = shapes.iter().map(|s| s.area()).sum();
    println!("{}: {total}", shapes.iter().map(|s| s.name()).collect::<Vec<_>>().join(", "));

    // A comparator that sleeps, and a closure with state of its own.
    let mut numbers: Vec<u32> = (0..24).map(|i| i * 7919 % 101).collect();
    let mut compared = 0;
    numbers.sort_by(|a, b| {
        compared += 1;
        if compared % 16 == 0 {
            nap();
        }
        a.cmp(b)
    });
    println!("{numbers:?} after {compared}");
    let mut heap: BinaryHeap<_> = numbers.iter().copied().collect();
    let mut queue = VecDeque::new();
    while let Some(n) = heap.pop() {
        if n % 10 == 0 {
            nap();
        }
        if n % 2 == 0 { queue.push_back(n) } else { queue.push_front(n) }
    }
    println!("{queue:?}");

    let root = node("root", None);
    let left = node("left", Some(&root));
    node("leaf", Some(&left));
    node("right", Some(&root));
    print_tree(&root, 0);
    drop(left);
    println!("counts {} {}", Rc::strong_count(&root), Rc::weak_count(&root));

    let _last = Loud("outer");
    let moved = Loud("moved");
    {
        let _inner = Loud("inner");
        nap();
    }
    drop(moved);
    println!("end of main");
}
