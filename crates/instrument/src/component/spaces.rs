//! The index spaces of the flattened module: the items of all instances, one after another.

use std::collections::BTreeMap;

use super::link::Linked;
use super::plan::{Definition, Item, Kind, Trampoline};

/// Where each instance's items begin in the flattened module. Functions are counted without those
/// that it imports.
pub(super) struct Spaces {
    first: Vec<[u32; Kind::COUNT]>,
    /// The first element segment of each instance.
    elements: Vec<u32>,
    /// The first data segment of each instance.
    data: Vec<u32>,
    /// How many items of each kind there are.
    count: [u32; Kind::COUNT],
    /// The globals that say whether a component instance may call others now. Instances to which
    /// nothing ever forbids it have none.
    may_leave: BTreeMap<u32, u32>,
}

impl Spaces {
    pub fn new(linked: &Linked<'_>) -> Self {
        let guarded = guarded(linked);
        let mut count = [0; Kind::COUNT];
        count[Kind::Global as usize] = guarded.len() as u32 + linked.shims;
        let instances = linked.plan.instances.len();
        let mut spaces = Self {
            first: vec![[0; Kind::COUNT]; instances],
            elements: vec![0; instances],
            data: vec![0; instances],
            count,
            may_leave: guarded.into_iter().zip(0..).collect(),
        };
        let (mut elements, mut data) = (0, 0);
        for instance in linked.instances() {
            spaces.first[instance] = spaces.count;
            spaces.elements[instance] = elements;
            spaces.data[instance] = data;
            for (count, items) in spaces.count.iter_mut().zip(linked.items(instance)) {
                *count += items;
            }
            let contents = linked.of(instance);
            elements += contents.elements();
            data += contents.data();
        }
        spaces
    }

    /// The index in the flattened module of an item that its instance defines.
    pub fn index(&self, linked: &Linked<'_>, item: Item) -> u32 {
        let imported = linked.of(item.instance).imported(item.kind);
        self.first[item.instance][item.kind as usize] + item.index.saturating_sub(imported)
    }

    /// How many items of a kind the instances define.
    pub fn count(&self, kind: Kind) -> u32 {
        self.count[kind as usize]
    }

    /// Where an instance's element segments begin.
    pub fn elements(&self, instance: usize) -> u32 {
        self.elements[instance]
    }

    /// Where an instance's data segments begin.
    pub fn data(&self, instance: usize) -> u32 {
        self.data[instance]
    }

    /// The global that says whether a component instance may call others now.
    pub fn may_leave(&self, instance: u32) -> Option<u32> {
        self.may_leave.get(&instance).copied()
    }

    /// How many such globals there are. They come first.
    pub fn guarded(&self) -> u32 {
        self.may_leave.len() as u32
    }

    /// The global that says whether the slots of a shim are filled. These come next.
    pub fn is_filled(&self, shim: u32) -> u32 {
        self.guarded() + shim
    }
}

/// The component instances that must not call others at times, in rising order: while an adapter or
/// a thunk calls their `realloc` to lower values, and while it calls their `post-return`.
fn guarded(linked: &Linked<'_>) -> Vec<u32> {
    let mut guarded: Vec<u32> = Vec::new();
    for instance in linked.instances() {
        for argument in &linked.plan.instances[instance].arguments {
            if let Definition::MayLeave(instance) = argument {
                guarded.push(*instance);
            }
        }
    }
    for trampoline in &linked.plan.trampolines {
        if let Trampoline::Lower(lower) = trampoline
            && lower.realloc.is_some()
        {
            guarded.push(lower.instance);
        }
    }
    if let Ok(entry) = &linked.plan.entry {
        let (run, serve) = entry.functions();
        for exported in run.into_iter().chain(serve) {
            guarded.extend(exported.post_return.map(|_| exported.instance));
        }
    }
    guarded.sort_unstable();
    guarded.dedup();
    guarded
}
