//! Behaviour: lines from stdin, an answer to each, and sleeps between; a small calculator with variables.
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::thread::sleep;
use std::time::Duration;

fn evaluate(line: &str, vars: &BTreeMap<String, i64>) -> Result<i64, String> {
    let value = |word: &str| {
        word.parse().ok().or_else(|| vars.get(word).copied()).ok_or_else(|| format!("what is {word:?}?"))
    };
    let mut words = line.split_whitespace();
    let mut acc = value(words.next().unwrap_or(""))?;
    while let Some(op) = words.next() {
        let right = value(words.next().unwrap_or(""))?;
        acc = match op {
            "+" => acc.checked_add(right),
            "-" => acc.checked_sub(right),
            "*" => acc.checked_mul(right),
            "/" => acc.checked_div(right),
            _ => return Err(format!("no such operator {op:?}")),
        }
        .ok_or("does not fit")?;
        sleep(Duration::from_millis(5));
    }
    Ok(acc)
}

fn main() -> io::Result<()> {
    let mut vars = BTreeMap::new();
    let mut stdin = io::stdin().lock();
    let mut first = String::new();
    print!("name? ");
    io::stdout().flush()?;
    stdin.read_line(&mut first)?;
    println!("hello {}", first.trim());
    for line in stdin.by_ref().lines() {
        let line = line?;
        if line == "." {
            break;
        }
        let (name, text) = line.split_once('=').map_or(("it", line.as_str()), |(n, t)| (n.trim(), t));
        match evaluate(text, &vars) {
            Ok(n) => {
                println!("{name} = {n}");
                vars.insert(name.to_string(), n);
            }
            Err(why) => println!("{why}"),
        }
        sleep(Duration::from_millis(5));
    }
    let mut rest = Vec::new();
    stdin.read_to_end(&mut rest)?;
    println!("variables {vars:?}, {} bytes left", rest.len());
    Ok(())
}
