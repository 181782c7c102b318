//! This node: its lease, and what it asks of the store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::info::{Details, Load, NodeInfo, NodeOptions};
use super::needs::Needs;
use super::offer::Offer;
use super::placement::{Placement, unplaced};
use super::tls::NodeTls;
use crate::error::Error as Refused;
use crate::model::clock::Clock;
use crate::model::error::Error;
use crate::model::{Digest, TaskId, Timestamp};
use crate::store::{Claimed, ClassId, Error as StoreError, Lease, Nodes, Stamp, Wish};
use crate::task::Gate;

/// How long the lease lasts after a beat, by the store's clock.
const LEASE_LASTS: Duration = Duration::from_secs(5);

/// How long after a beat was sent the gate stays open, by this machine's clock. The rest of the lease
/// is for what has passed the gate, and for clocks that do not run equally fast.
const GATE_LASTS: Duration = Duration::from_secs(4);

/// A node that has just come is known with the next beat. So often is looked for it, and so long in
/// between.
const LOOKS_FOR_NODE: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// This node.
pub(crate) struct Member {
    store: Arc<dyn Nodes>,
    lease: Lease,
    options: NodeOptions,
    identity: String,
    since: Timestamp,
    /// What it shows other nodes.
    pub(crate) tls: NodeTls,
    /// What guests do outside of themselves waits until it is open.
    pub(crate) gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    /// All nodes, as they were at the last beat.
    known: Mutex<Vec<NodeInfo>>,
    /// Whether this node is being drained.
    draining: AtomicBool,
    /// Which tasks this node can run.
    pub(crate) placement: Arc<Placement>,
}

impl Member {
    /// Becomes a node. Where an earlier process in the same data directory was one, its tasks are this
    /// one's: that process has ended, since only one can have the directory.
    ///
    /// # Errors
    /// If a node of another directory has the name, or the store cannot be used.
    pub(crate) fn join(
        store: Arc<dyn Nodes>,
        options: NodeOptions,
        identity: String,
        labels: BTreeMap<String, String>,
        now: &Stamp,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Error> {
        let tls = NodeTls::made()?;
        let lease = store.join(&options.name, now, LEASE_LASTS)?;
        let member = Arc::new(Self {
            store,
            lease,
            options,
            identity,
            since: now.realtime,
            tls,
            gate: Arc::new(Gate::new(clock.clone())),
            clock,
            known: Mutex::default(),
            draining: AtomicBool::new(false),
            placement: Arc::new(Placement::new(labels)),
        });
        // What is this node's from before is run or given back by it.
        member.learn_classes(true)?;
        member.beat(Load::default())?;
        for other in member.known() {
            if other.here || other.name != member.options.name {
                continue;
            }
            if other.identity == member.identity {
                let taken = member.store.succeed(&member.lease, other.number)?;
                log::info!("this node goes on with {taken} tasks of the process before it");
            } else if other.alive {
                member.leave();
                let (name, address) = (other.name, other.address);
                return Err(Refused::NodeTaken { name, address }.into());
            }
        }
        Ok(member)
    }

    pub(crate) fn lease(&self) -> Lease {
        self.lease
    }

    /// The first number of packs that no other node gives.
    pub(crate) fn first_pack(&self) -> u64 {
        (self.lease.epoch << 32) + 1
    }

    /// Renews the lease, and keeps the gate open.
    pub(super) fn beat(&self, load: Load) -> Result<(), StoreError> {
        let details = Details {
            identity: self.identity.clone(),
            address: self.options.address.clone(),
            fingerprint: self.tls.fingerprint().to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            since: self.since.as_nanos(),
            load,
            offer: Some(self.placement.offer()),
            draining: self.is_draining(),
        };
        // Numbers and texts can always be written.
        let details = serde_json::to_string(&details).unwrap_or_default();
        let sent = self.clock.monotonic();
        let rows = self.store.beat(&self.lease, &details)?;
        self.gate.keep_open(sent.saturating_add(GATE_LASTS));
        let me = self.lease.epoch;
        let nodes = rows.into_iter().map(|row| NodeInfo::of(row, me));
        *self.known.lock() = nodes.collect();
        Ok(())
    }

    /// All nodes, as they were a second ago.
    pub(crate) fn known(&self) -> Vec<NodeInfo> {
        let mut known = self.known.lock().clone();
        for node in &mut known {
            node.draining = self.drains(node);
        }
        known
    }

    /// The name of the living node that has a certificate.
    pub(crate) async fn living(&self, fingerprint: &Digest) -> Option<String> {
        for _ in 0..LOOKS_FOR_NODE {
            let known = self.known();
            let mut living = known.into_iter().filter(|node| node.alive);
            let found = living.find(|node| node.fingerprint.as_ref() == Some(fingerprint));
            if let Some(node) = found {
                return Some(node.name);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        None
    }

    /// Whether a node's lease is over.
    pub(super) fn knows_of_dead(&self) -> bool {
        self.known.lock().iter().any(|node| !node.alive)
    }

    /// How many nodes take work.
    pub(crate) fn count_takers(&self) -> usize {
        let known = self.known.lock();
        known
            .iter()
            .filter(|node| node.alive && !node.draining)
            .count()
    }

    /// Whether this node is being drained.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Says whether this node is being drained. The others are told with the next beat.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Whether there is no other node.
    pub(crate) fn is_alone(&self) -> bool {
        self.known.lock().iter().all(|node| node.here)
    }

    /// Makes the tasks of dead nodes nobody's; returns how many.
    pub(super) fn free_dead(&self) -> Result<u64, StoreError> {
        self.store.free_dead(&self.lease)
    }

    /// Learns which classes of tasks there are, and which of them this node can serve. What is known
    /// is looked at once more if `again` says so.
    pub(super) fn learn_classes(&self, again: bool) -> Result<(), StoreError> {
        self.placement.learn(&self.store.classes()?, again);
        Ok(())
    }

    /// The class of tasks that need this. It may have to be made, which may take a while.
    pub(crate) fn class(&self, needs: &Needs) -> Result<ClassId, StoreError> {
        let Some(text) = needs.text() else {
            return Ok(ClassId::ANY);
        };
        if let Some(known) = self.placement.class(&text) {
            return Ok(known);
        }
        let class = self.store.class(&self.lease, &text)?;
        self.placement.learn(&[(class, text.clone())], false);
        self.placement.note(text, class);
        Ok(class)
    }

    /// Why no node that is alive can run tasks of a class; `None` where one can, as far as is known.
    pub(crate) fn unplaced(&self, class: ClassId) -> Option<String> {
        if self.placement.serves(class) && !self.is_draining() {
            return None;
        }
        let needs = match class {
            ClassId::ANY => Some(Needs::default()),
            class => self.placement.needs(class),
        };
        let Some(needs) = needs else {
            return Some("no node knows what it needs: another build has submitted it".into());
        };
        let (known, nothing) = (self.known.lock(), Offer::default());
        let offers = |draining| {
            let alive = known.iter().filter(|node| node.alive);
            let those = alive.filter(move |node| self.drains(node) == draining);
            // A build that tells no offer takes tasks that need nothing.
            let any = (class == ClassId::ANY).then_some(&nothing);
            let offers: Vec<_> = those
                .filter_map(|node| node.offer.as_ref().or(any))
                .collect();
            offers
        };
        let why = unplaced(&needs, &offers(false))?;
        // A node that is being drained may be the only one.
        let drained = offers(true);
        Some(
            match drained.is_empty() || unplaced(&needs, &drained).is_some() {
                true => why,
                false => format!("{why} but one that is being drained"),
            },
        )
    }

    /// Whether a node is being drained. Of this one it is known at once.
    fn drains(&self, node: &NodeInfo) -> bool {
        match node.here {
            true => self.is_draining(),
            false => node.draining,
        }
    }

    /// What a node lacks for tasks of a class, in words; `None` where it can run them.
    ///
    /// # Errors
    /// If the store has to be asked what they need, and cannot be.
    pub(crate) fn lacks(
        &self,
        class: ClassId,
        node: &NodeInfo,
    ) -> Result<Option<String>, StoreError> {
        if class == ClassId::ANY {
            return Ok(None);
        }
        if self.placement.needs(class).is_none() {
            self.learn_classes(false)?;
        }
        Ok(match (self.placement.needs(class), &node.offer) {
            (Some(needs), Some(offer)) => {
                let missing = needs.missing(offer);
                (!missing.is_empty()).then(|| missing.join(", "))
            }
            _ => Some("a build that knows what it needs".into()),
        })
    }

    /// Gives back tasks of this node.
    pub(crate) fn give_back(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        self.store.give_back(&self.lease, ids)
    }

    pub(crate) fn claim_due(&self, wish: &Wish) -> Result<Vec<Claimed>, StoreError> {
        self.store.claim_due(&self.lease, wish)
    }

    /// The tasks that this node has.
    pub(crate) fn owned(&self) -> Result<Vec<TaskId>, StoreError> {
        self.store.owned(&self.lease)
    }

    /// The nodes that have these tasks.
    pub(crate) fn owners(&self, ids: &[TaskId]) -> Result<Vec<(TaskId, u64)>, StoreError> {
        self.store.owners(ids)
    }

    /// The number of the node that has a task, if that is another one.
    pub(crate) fn other_owner(&self, id: TaskId) -> Result<Option<u64>, StoreError> {
        let owners = self.store.owners(&[id])?;
        let owner = owners.first().map(|(_, owner)| *owner);
        Ok(owner.filter(|owner| *owner != self.lease.epoch))
    }

    pub(crate) fn take_ids(&self, count: u64) -> Result<Range<u64>, StoreError> {
        self.store.take_ids(&self.lease, count)
    }

    /// Gives back all tasks; the others need not wait for the end of the lease.
    pub(crate) fn leave(&self) {
        self.gate.shut();
        if let Err(error) = self.store.leave(&self.lease) {
            log::warn!(
                "the other nodes go on with this one's tasks when its lease is over: {error}"
            );
        }
    }
}
