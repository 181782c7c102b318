//! Circles in a directed graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The nodes that each node leads to.
pub type Graph = Vec<BTreeSet<usize>>;

/// Nodes that all lead to each other.
pub struct Knot {
    /// One of the shortest circles in it. The first node stands at the end again.
    pub circle: Vec<usize>,
    /// All of them.
    pub nodes: BTreeSet<usize>,
}

/// All knots of a graph.
pub fn knots(graph: &Graph) -> Vec<Knot> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for start in 0..graph.len() {
        if seen.contains(&start) {
            continue;
        }
        let Some(circle) = shortest(start, graph) else {
            continue;
        };
        let mut nodes = reached(start, graph);
        nodes.retain(|node| reached(*node, graph).contains(&start));
        seen.extend(&nodes);
        found.push(Knot { circle, nodes });
    }
    found
}

/// The nodes that a node leads to, directly or through others.
fn reached(start: usize, graph: &Graph) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for next in &graph[node] {
            if reached.insert(*next) {
                open.push(*next);
            }
        }
    }
    reached
}

/// The shortest way from a node back to itself.
fn shortest(start: usize, graph: &Graph) -> Option<Vec<usize>> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        if graph[node].contains(&start) {
            let mut way = vec![start, node];
            while way[way.len() - 1] != start {
                way.push(from[&way[way.len() - 1]]);
            }
            way.reverse();
            return Some(way);
        }
        for next in &graph[node] {
            if !from.contains_key(next) {
                from.insert(*next, node);
                open.push_back(*next);
            }
        }
    }
    None
}
