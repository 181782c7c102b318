//! Circles: `a.rs` uses what `b.rs` defines, and `b.rs` uses what `a.rs` defines. The same for
//! folders: a file in `a/` uses one in `b/`, and a file in `b/` uses one in `a/`.
//!
//! Files of one crate are read as tokens. Every path in them (`crate::…`, `super::…`, the name of a
//! child module, an imported name) is followed to the file that defines what it names; a file that
//! only re-exports a name counts for nothing on the way. Test code does not count.

mod graph;
mod names;
mod source;
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use self::graph::{Graph, Knot, knots};
use self::names::{Crate, Edge};
use self::source::File;
use super::tokens::is_test_file;

/// Folders that use each other all the same, with the folder that they stand in.
const JOINED: [(&str, &[&str]); 1] = [
    // A guest's context has the handles and resources of its component, and the functions of WASI
    // 0.2 are given the context.
    ("crates/wasi/src", &["guest", "p2"]),
];

/// The files that each file uses, by their numbers.
type Edges = Vec<BTreeMap<usize, Edge>>;

/// The circles among those files of a crate that stand in a room: a folder, or the file of its
/// name. Then those among the room's folders, and among the folders of each of them.
///
/// `sources` are all files of the crate, with their texts.
pub fn circles(room: &str, sources: &[(String, String)]) -> Vec<String> {
    let files: Vec<File> = sources
        .iter()
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| File::new(path, text))
        .collect();
    let crate_ = Crate::new(&files);
    let inside = |file: usize| {
        let path = &files[file].path;
        path.starts_with(&format!("{room}/")) || *path == format!("{room}.rs")
    };
    let edges: Edges = (0..files.len())
        .map(|file| match inside(file) {
            true => crate_.edges(file),
            false => BTreeMap::new(),
        })
        .collect();
    let edges: Edges = edges
        .into_iter()
        .map(|edges| edges.into_iter().filter(|(to, _)| inside(*to)).collect())
        .collect();
    let graph: Graph = edges
        .iter()
        .map(|to| to.keys().copied().collect())
        .collect();
    let mut found: Vec<String> = knots(&graph)
        .iter()
        .map(|knot| {
            let step = |from: usize, to: usize| (from, to);
            let names = knot.nodes.iter().map(|file| files[*file].path.as_str());
            told(&files, &edges, "files", knot, step, names.collect())
        })
        .collect();
    let mut folders: BTreeSet<&str> = BTreeSet::from([room]);
    for file in &files {
        folders.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    }
    folders.retain(|folder| folder.starts_with(room));
    for folder in folders {
        found.extend(circles_in(folder, &files, &edges));
    }
    found
}

/// The circles among the parts of a folder of which at least one is a folder too. A part is a file,
/// a folder, or both under one name.
fn circles_in(folder: &str, files: &[File], edges: &Edges) -> Vec<String> {
    let part = |file: usize| {
        let below = files[file].path.strip_prefix(folder)?.strip_prefix('/')?;
        let part = below.split('/').next().unwrap_or(below);
        let part = part.trim_end_matches(".rs");
        (!["mod", "lib", "main"].contains(&part)).then_some(part)
    };
    let parts: BTreeSet<&str> = (0..files.len()).filter_map(part).collect();
    let parts: Vec<&str> = parts.into_iter().collect();
    let number = |name: &str| parts.binary_search(&name).ok();
    let mut graph: Graph = vec![BTreeSet::new(); parts.len()];
    // For each two parts, the first two files of which one uses the other.
    let mut steps: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
    for (from, to) in edges.iter().enumerate() {
        for to in to.keys() {
            let ends = part(from).and_then(number).zip(part(*to).and_then(number));
            if let Some((user, used)) = ends.filter(|(user, used)| user != used) {
                graph[user].insert(used);
                steps.entry((user, used)).or_insert((from, *to));
            }
        }
    }
    let is_folder = |part: &usize| {
        let inside = format!("{folder}/{}/", parts[*part]);
        files.iter().any(|file| file.path.starts_with(&inside))
    };
    let mut found = Vec::new();
    for knot in knots(&graph) {
        let names: Vec<&str> = knot.nodes.iter().map(|part| parts[*part]).collect();
        let is_joined = JOINED.contains(&(folder, &names[..]));
        if !is_joined && knot.nodes.iter().any(is_folder) {
            let step = |from: usize, to: usize| steps[&(from, to)];
            let what = format!("folders in {folder}");
            found.push(told(files, edges, &what, &knot, step, names));
        }
    }
    found
}

/// A knot in words. `step` gives the files behind a step of its circle.
fn told(
    files: &[File],
    edges: &Edges,
    what: &str,
    knot: &Knot,
    step: impl Fn(usize, usize) -> (usize, usize),
    names: Vec<&str>,
) -> String {
    let mut text = format!("a circle of {what} ({} in the knot):", names.len());
    for ends in knot.circle.windows(2) {
        let (from, to) = step(ends[0], ends[1]);
        let Edge { line, words } = &edges[from][&to];
        let (from, to) = (&files[from].path, &files[to].path);
        text.push_str(&format!("\n    {from}:{line}: `{words}` of {to}"));
    }
    format!("{text}\n    the knot: {}", names.join(", "))
}
