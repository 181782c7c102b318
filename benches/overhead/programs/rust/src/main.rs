//! Work as Rust programs do it: serde_json both ways, sorting, hash maps and B-trees, boxed closures. The line in the
//! middle is read by a comparison of `sort_by`.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::time::Instant;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone)]
struct Record {
    id: u64,
    name: String,
    tags: Vec<String>,
    value: f64,
    inner: Option<Box<Record>>,
}

struct Work {
    checksum: u64,
    asked: Option<Instant>,
    answered: Option<Instant>,
}

impl Work {
    fn mix(&mut self, n: u64) {
        self.checksum = self.checksum.wrapping_mul(31).wrapping_add(n);
    }

    fn midway(&mut self) {
        self.asked = Some(Instant::now());
        let mut line = String::new();
        let count = std::io::stdin().lock().read_line(&mut line).expect("standard input can be read");
        assert!(count > 0, "no line on standard input");
        self.answered = Some(Instant::now());
    }

    fn documents(&mut self, size: u64) {
        let records: Vec<Record> = (0..size)
            .map(|id| Record {
                id,
                name: format!("n{id}"),
                tags: vec!["a".into(), "b".into(), id.to_string()],
                value: id as f64 / 8.0,
                inner: (id % 3 == 0).then(|| {
                    Box::new(Record { id: id * 2, name: String::new(), tags: Vec::new(), value: 0.5, inner: None })
                }),
            })
            .collect();
        let text = serde_json::to_string(&records).expect("it can be written");
        let back: Vec<Record> = serde_json::from_str(&text).expect("it was written");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it was written");
        self.mix(text.len() as u64 + back.iter().map(|r| r.id).sum::<u64>());
        self.mix(value[size as usize / 2]["id"].as_u64().unwrap_or(0));
    }

    fn maps(&mut self, size: u64) {
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut tree = BTreeMap::new();
        for i in 0..size {
            *counts.entry(format!("k{}", i * 7919 % 700)).or_default() += i;
            tree.insert(i * 7919 % 10007, i);
        }
        let sum = counts.iter().map(|(key, count)| key.len() as u64 * count).sum();
        self.mix(sum);
        self.mix(tree.iter().zip(0..).map(|((key, value), i)| (key ^ value) * i).sum());
    }

    fn closures(&mut self, size: u64) {
        let steps: Vec<Box<dyn Fn(u64) -> u64>> = vec![
            Box::new(|x| x.wrapping_mul(6364136223846793005)),
            Box::new(|x| x ^ (x >> 29)),
            Box::new(move |x| x.wrapping_add(size)),
        ];
        let mut x = 1;
        for i in 0..size as usize {
            x = steps[i % 3](x);
        }
        self.mix(x);
    }

    fn sorts(&mut self, size: usize, at: u64) {
        let (mut seed, mut count) = (42u64, 0);
        let mut list: Vec<(u64, String)> = (0..size)
            .map(|i| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 33, format!("{}", i % 100))
            })
            .collect();
        list.sort_by(|a, b| {
            count += 1;
            if count == at {
                self.midway();
            }
            a.1.cmp(&b.1).then(a.0.cmp(&b.0))
        });
        self.mix(list[0].0 + list[size / 2].0);
    }
}

fn main() {
    let scale: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("usage: documents SCALE");
    let mut work = Work { checksum: 7, asked: None, answered: None };
    let start = Instant::now();
    for round in 1..=2 * scale {
        work.documents(1000);
        work.maps(10000);
        work.closures(200_000);
        work.sorts(20_000, if round == scale { 100_000 } else { 0 });
    }
    let end = Instant::now();
    let (asked, answered) = (work.asked.expect("it has waited"), work.answered.expect("it has waited"));
    println!(
        "checksum {:016x}\nfirst {}\nsecond {}",
        work.checksum,
        (asked - start).as_nanos(),
        (end - answered).as_nanos()
    );
}
