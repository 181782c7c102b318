//! Handles: one table for each component instance, with the handles of all resource types, and the
//! scopes of the calls in which handles are lent.
//!
//! Numbers are given as Wasmtime gives them, from 1 on, and the one that was freed last first: a
//! component may write them anywhere.

use serde::{Deserialize, Serialize};

use super::host_type::ResourceType;
use super::stop::{Called, trap};

/// How many handles a guest may have in all, as with Wasmtime.
const MAX_HANDLES: u32 = 100_000;
/// How many component instances a guest may have.
pub(crate) const MAX_INSTANCES: u32 = 1 << 16;
/// How many calls from one component to another may be under way. The guest's stack ends sooner.
const MAX_SCOPES: usize = 1 << 20;

/// All handles of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handles {
    /// The handles of each component instance.
    tables: Vec<Table>,
    /// The calls from one component to another that are under way.
    scopes: Vec<Scope>,
    /// How many handles there are, and how many times they are lent.
    live: u32,
}

/// The handles of a component instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    /// The first free slot, or the number of slots.
    next: u32,
    slots: Vec<Slot>,
}

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Slot {
    /// Nothing. `next` is the free slot after it.
    Free { next: u32 },
    /// A resource of the instance's own.
    Own {
        ty: ResourceType,
        rep: u32,
        /// How many calls it is lent to.
        lent: u32,
    },
    /// A resource that is lent to the instance for a call.
    Borrow {
        ty: ResourceType,
        rep: u32,
        /// The call, by its place among those under way.
        scope: u32,
    },
}

/// A call from one component to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Scope {
    /// The handles that are lent to it, each with the instance that has it.
    lenders: Vec<(u32, u32)>,
    /// How many borrowed handles it has.
    borrows: u32,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The resource itself.
    Own(u32),
    /// Only a loan.
    Borrow,
}

impl Table {
    fn insert(&mut self, slot: Slot) -> Called<u32> {
        let next = self.next as usize;
        if next >= self.slots.len() {
            self.next = self.slots.len() as u32;
            self.slots.push(Slot::Free {
                next: self.next + 1,
            });
        }
        let index = self.next;
        match self.slots.get_mut(index as usize) {
            Some(free @ Slot::Free { .. }) => {
                if let Slot::Free { next } = std::mem::replace(free, slot) {
                    self.next = next;
                }
                Ok(index + 1)
            }
            _ => trap("the handle table is damaged"),
        }
    }

    fn get_mut(&mut self, handle: u32) -> Called<&mut Slot> {
        let index = handle.checked_sub(1);
        match index.and_then(|index| self.slots.get_mut(index as usize)) {
            None | Some(Slot::Free { .. }) => trap(format!("unknown handle index {handle}")),
            Some(slot) => Ok(slot),
        }
    }
}

impl Slot {
    /// The resource that it stands for, which must be of this type.
    fn rep(self, handle: u32, expected: ResourceType) -> Called<u32> {
        match self {
            Self::Own { ty, rep, .. } | Self::Borrow { ty, rep, .. } if ty == expected => Ok(rep),
            Self::Own { ty, .. } | Self::Borrow { ty, .. } => trap(format!(
                "handle index {handle} used with the wrong type, expected {expected} but found {ty}"
            )),
            Self::Free { .. } => trap(format!("unknown handle index {handle}")),
        }
    }
}

impl Handles {
    fn table(&mut self, instance: u32) -> Called<&mut Table> {
        if instance >= MAX_INSTANCES {
            return trap(format!("there is no component instance {instance}"));
        }
        let index = instance as usize;
        if index >= self.tables.len() {
            self.tables.resize(index + 1, Table::default());
        }
        match self.tables.get_mut(index) {
            Some(table) => Ok(table),
            None => trap(format!("there is no component instance {instance}")),
        }
    }

    fn count(&mut self) -> Called<()> {
        if self.live >= MAX_HANDLES {
            return trap("cannot allocate another handle: store handle limit exceeded");
        }
        self.live += 1;
        Ok(())
    }

    /// A new handle of a resource that the instance owns.
    pub(crate) fn insert_own(&mut self, instance: u32, ty: ResourceType, rep: u32) -> Called<u32> {
        self.count()?;
        self.table(instance)?.insert(Slot::Own { ty, rep, lent: 0 })
    }

    /// A new handle of a resource that is lent to the call under way.
    fn insert_borrow(&mut self, instance: u32, ty: ResourceType, rep: u32) -> Called<u32> {
        self.count()?;
        let Some((scope, call)) = (0..).zip(&mut self.scopes).last() else {
            return trap("a handle is lent outside of a call");
        };
        call.borrows = call.borrows.saturating_add(1);
        self.table(instance)?
            .insert(Slot::Borrow { ty, rep, scope })
    }

    /// The resource that a handle stands for.
    pub(crate) fn rep(&mut self, instance: u32, ty: ResourceType, handle: u32) -> Called<u32> {
        self.table(instance)?.get_mut(handle)?.rep(handle, ty)
    }

    /// Removes a handle.
    pub(crate) fn remove(
        &mut self,
        instance: u32,
        ty: ResourceType,
        handle: u32,
    ) -> Called<Dropped> {
        let table = self.table(instance)?;
        let next = table.next;
        let slot = table.get_mut(handle)?;
        if let Slot::Own { lent: 1.., .. } = slot {
            return trap("cannot remove owned resource while borrowed");
        }
        let rep = slot.rep(handle, ty)?;
        let removed = *slot;
        *slot = Slot::Free { next };
        table.next = handle - 1;
        self.live = self.live.saturating_sub(1);
        Ok(match removed {
            Slot::Borrow { scope, .. } => {
                if let Some(scope) = self.scopes.get_mut(scope as usize) {
                    scope.borrows = scope.borrows.saturating_sub(1);
                }
                Dropped::Borrow
            }
            _ => Dropped::Own(rep),
        })
    }

    /// Takes the resource from the instance that owns it.
    pub(crate) fn take_own(&mut self, instance: u32, ty: ResourceType, handle: u32) -> Called<u32> {
        match self.remove(instance, ty, handle)? {
            Dropped::Own(rep) => Ok(rep),
            Dropped::Borrow => trap("cannot lift own resource from a borrow"),
        }
    }

    /// Lends a resource to the call under way, and gives its representation. An instance that
    /// defines the type itself gets only that, and no handle.
    pub(crate) fn lend(&mut self, instance: u32, ty: ResourceType, handle: u32) -> Called<u32> {
        let slot = self.table(instance)?.get_mut(handle)?;
        let rep = slot.rep(handle, ty)?;
        if let Slot::Own { lent, .. } = slot {
            *lent = lent.saturating_add(1);
            self.count()?;
            match self.scopes.last_mut() {
                Some(scope) => scope.lenders.push((instance, handle)),
                None => return trap("a handle is lent outside of a call"),
            }
        }
        Ok(rep)
    }

    /// Gives a resource from one instance to another.
    pub(crate) fn transfer_own(
        &mut self,
        ty: ResourceType,
        (from, to): (u32, u32),
        handle: u32,
    ) -> Called<u32> {
        let rep = self.take_own(from, ty, handle)?;
        self.insert_own(to, ty, rep)
    }

    /// Lends a resource of one instance to another for the call under way.
    pub(crate) fn transfer_borrow(
        &mut self,
        ty: ResourceType,
        (from, to): (u32, u32),
        handle: u32,
    ) -> Called<u32> {
        let rep = self.lend(from, ty, handle)?;
        self.insert_borrow(to, ty, rep)
    }

    /// A call from one component to another begins.
    pub(crate) fn enter_call(&mut self) -> Called<()> {
        if self.scopes.len() >= MAX_SCOPES {
            return trap("too many calls between components are under way");
        }
        self.scopes.push(Scope::default());
        Ok(())
    }

    /// A call from one component to another ends.
    pub(crate) fn exit_call(&mut self) -> Called<()> {
        let Some(scope) = self.scopes.pop() else {
            return trap("no call between components is under way");
        };
        if scope.borrows > 0 {
            return trap("borrow handles still remain at the end of the call");
        }
        for (instance, handle) in scope.lenders {
            if let Slot::Own { lent, .. } = self.table(instance)?.get_mut(handle)? {
                *lent = lent.saturating_sub(1);
                self.live = self.live.saturating_sub(1);
            }
        }
        Ok(())
    }
}
