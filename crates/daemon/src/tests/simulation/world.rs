//! The world: its nodes, what happens to them, and what has to hold.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::Chance;
use super::chance::WorldClock;
use super::line::{Fault, Planted};
use super::node::{Kit, Node};
use super::tasks::{self, GUEST};
use crate::driver::Message;
use crate::driver::commands::{Ask, Command};
use crate::model::clock::Clock;
use crate::model::{TaskId, TaskState, When};
use crate::store::{Nodes, Reference, Stamp, Store, Verdict};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// For how long things fail.
const FAILING: Duration = Duration::from_secs(60);

/// After that, all tasks have come to their end within this time.
const SETTLING: Duration = Duration::from_secs(400);

/// A task that nobody but the world knows of can be asked for at a node for so long.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// What has happened, and what is checked at once.
pub(super) struct Ledger {
    pub(super) store: Reference,
    directory: TempDir,
    began: Instant,
    trace: Mutex<Vec<String>>,
    wrong: Mutex<Option<String>>,
}

impl Ledger {
    pub(super) fn note(&self, what: String) {
        let at = self.began.elapsed();
        self.trace
            .lock()
            .push(format!("{:>9.3} {what}", at.as_secs_f64()));
    }

    fn fail(&self, what: String) {
        self.note(format!("WRONG: {what}"));
        self.wrong.lock().get_or_insert(what);
    }

    fn folder(&self, id: TaskId) -> PathBuf {
        self.directory.path().join(id.0.to_string())
    }

    /// What a task has appended to its file.
    pub(super) fn file(&self, id: TaskId) -> String {
        std::fs::read_to_string(self.folder(id).join("log")).unwrap_or_default()
    }

    /// A worker of a node has done a job.
    pub(super) fn note_job(&self, node: u64, id: TaskId, before: usize, done: &str) {
        let file = self.file(id);
        let wrote = file.len() - before;
        self.note(format!("#{node} task {id}: wrote {wrote} bytes, {done}"));
        let owners = self.store.owners(&[id]).expect("it reads");
        if let Some((_, owner)) = owners.first().filter(|(_, owner)| *owner != node)
            && wrote > 0
        {
            self.fail(format!(
                "node {node} acted outside of task {id} while it was node {owner}'s"
            ));
        }
    }
}

/// One of the three nodes.
struct Place {
    name: &'static str,
    clock: Arc<dyn Clock>,
    node: Option<Node>,
    fault: Fault,
}

/// The world of a seed.
pub(super) struct World {
    chance: Chance,
    kit: Kit,
    ledger: Arc<Ledger>,
    places: Mutex<Vec<Place>>,
    /// The tasks whose submission was acknowledged, and how many arguments they have.
    accepted: Mutex<BTreeMap<TaskId, usize>>,
    /// Those that somebody paused, and that are to be resumed.
    paused: Mutex<Vec<TaskId>>,
}

impl World {
    pub(super) fn new(seed: u64, planted: Planted) -> Self {
        let chance = Chance::new(seed);
        let began = Instant::now();
        let clock = |ahead, boot| -> Arc<dyn Clock> {
            Arc::new(WorldClock::new(began, Duration::from_millis(ahead), boot))
        };
        let ledger = Arc::new(Ledger {
            store: Reference::new(seed, clock(0, 0)),
            directory: tempfile::tempdir().expect("a directory"),
            began,
            trace: Mutex::default(),
            wrong: Mutex::default(),
        });
        let places = NAMES.iter().zip(1..).map(|(name, boot)| Place {
            name,
            clock: clock(chance.below(15), boot),
            node: None,
            fault: Fault::None,
        });
        let places = Mutex::new(places.collect());
        let kit = Kit {
            chance: chance.clone(),
            programs: GUEST.programs.clone(),
            ledger: ledger.clone(),
            planted,
        };
        Self {
            chance,
            kit,
            ledger,
            places,
            accepted: Mutex::default(),
            paused: Mutex::default(),
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.ledger.trace.lock().clone()
    }

    pub(super) async fn run(&self) -> Result<(), String> {
        for number in 0..NAMES.len() {
            self.start(number);
        }
        self.put_module();
        let began = Instant::now();
        while began.elapsed() < FAILING {
            sleep(self.chance.milliseconds(50, 3000)).await;
            self.look();
            match self.chance.below(100) {
                0..35 => self.submit().await,
                35..45 => self.ask().await,
                45..57 => self.kill(),
                57..70 => self.stop().await,
                70..80 => self.cut(Fault::Cut),
                80..90 => self.cut(Fault::Loses(10 + self.chance.below(60))),
                90..93 => (0..NAMES.len()).for_each(|number| self.set_fault(number, Fault::Cut)),
                _ => self.heal(),
            }
            self.check()?;
        }
        self.ledger.note("nothing fails any more".into());
        self.settle().await
    }

    /// Everything works from now on, and all tasks come to their end.
    async fn settle(&self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            self.heal();
            for number in 0..NAMES.len() {
                if self.places.lock()[number].node.is_none() {
                    self.start(number);
                }
            }
            self.look();
            self.resume_paused().await;
            sleep(Duration::from_secs(1)).await;
            self.check()?;
            let accepted = self.accepted.lock().clone();
            let open = accepted.keys().find(|id| {
                let row = self.ledger.store.task(**id).expect("it reads");
                row.is_none_or(|row| row.state != TaskState::Exited)
            });
            let Some(id) = open else { break };
            if began.elapsed() > SETTLING {
                let row = self.ledger.store.task(*id).expect("it reads");
                let owner = self.ledger.store.owners(&[*id]).expect("it reads");
                return Err(format!(
                    "task {id} does not come to its end: {row:?}, {owner:?}"
                ));
            }
        }
        self.check_ends()
    }

    fn check(&self) -> Result<(), String> {
        match self.ledger.wrong.lock().take() {
            Some(wrong) => Err(wrong),
            None => Ok(()),
        }
    }

    /// All that every task wrote is there once and in order.
    fn check_ends(&self) -> Result<(), String> {
        for (id, arguments) in &*self.accepted.lock() {
            let expected = tasks::lines(*arguments);
            let pieces = self
                .ledger
                .store
                .output(*id, 0, u64::MAX)
                .expect("it reads");
            let bytes = pieces.into_iter().flat_map(|piece| piece.piece.bytes);
            let written = String::from_utf8(bytes.collect()).expect("text");
            if written != expected {
                return Err(format!("task {id} wrote {written:?}, and not {expected:?}"));
            }
            // What was done outside since the last stored sleep is done again after a death, and
            // nothing is left out.
            let mut next = 0;
            for line in self.ledger.file(*id).lines() {
                let round: usize = line.parse().expect("a number");
                if round > next {
                    return Err(format!(
                        "task {id} appended line {round} before line {next}"
                    ));
                }
                next = next.max(round + 1);
            }
            if next != expected.lines().count() {
                return Err(format!("task {id} appended {next} different lines only"));
            }
        }
        Ok(())
    }

    fn start(&self, number: usize) {
        let mut places = self.places.lock();
        let place = &mut places[number];
        let (name, clock) = (place.name, place.clock.clone());
        // The directory is the place's own, so that a process goes on with the tasks of the one
        // before it.
        match Node::start(&self.kit, (name, name), clock, place.fault) {
            Ok(node) => {
                let member = node.shared.member.as_ref().expect("it is a node");
                self.ledger
                    .note(format!("{name} starts as #{}", member.lease().epoch));
                place.node = Some(node);
            }
            Err(error) => self.ledger.note(format!("{name} does not start: {error}")),
        }
    }

    /// A node that has found itself fenced begins anew, as its process does by replacing itself; so
    /// does one that was killed, after a while.
    fn look(&self) {
        for number in 0..NAMES.len() {
            let mut places = self.places.lock();
            let place = &mut places[number];
            if let Some(node) = place.node.take_if(|node| node.shared.is_lost()) {
                node.kill();
                self.ledger.note(format!("{} is fenced", place.name));
                drop(places);
                self.start(number);
            } else if place.node.is_none() && self.chance.of(30) {
                drop(places);
                self.start(number);
            }
        }
    }

    /// The number of the node in a place.
    fn number_of(&self, place: usize) -> Option<u64> {
        let places = self.places.lock();
        let member = places[place].node.as_ref()?.shared.member.as_ref()?;
        Some(member.lease().epoch)
    }

    fn any(&self) -> usize {
        usize::try_from(self.chance.below(NAMES.len() as u64)).unwrap_or(0)
    }

    fn kill(&self) {
        let number = self.any();
        let mut places = self.places.lock();
        if let Some(node) = places[number].node.take() {
            node.kill();
            self.ledger
                .note(format!("{} is killed", places[number].name));
        }
    }

    /// Stops a node for a while, as SIGSTOP does.
    async fn stop(&self) {
        let number = self.any();
        let process = {
            let places = self.places.lock();
            let Some(node) = &places[number].node else {
                return;
            };
            self.ledger
                .note(format!("{} is stopped", places[number].name));
            node.process.clone()
        };
        process.stop();
        let ledger = self.ledger.clone();
        let span = self.chance.milliseconds(100, 15_000);
        tokio::spawn(async move {
            sleep(span).await;
            ledger.note(format!("{} goes on", NAMES[number]));
            process.go_on();
        });
    }

    fn set_fault(&self, number: usize, fault: Fault) {
        let mut places = self.places.lock();
        let place = &mut places[number];
        if place.fault != fault {
            self.ledger.note(format!("{}: {fault:?}", place.name));
        }
        place.fault = fault;
        if let Some(node) = &place.node {
            node.line.set(fault);
        }
    }

    fn cut(&self, fault: Fault) {
        self.set_fault(self.any(), fault);
    }

    fn heal(&self) {
        (0..NAMES.len()).for_each(|number| self.set_fault(number, Fault::None));
    }

    fn put_module(&self) {
        let store = &self.ledger.store;
        let places = self.places.lock();
        let now = Stamp {
            realtime: places[0].clock.realtime(),
            ..store.stamp().expect("it reads").expect("nodes have joined")
        };
        let lease = store
            .join("world", &now, Duration::from_secs(1))
            .expect("it joins");
        let done = store.commit(&lease, &now, std::slice::from_ref(&GUEST.blob));
        assert_eq!(done.expect("it is stored"), [Verdict::Done]);
        store.leave(&lease).expect("it leaves");
    }

    /// Submits a task at a node. It counts as accepted if that was answered.
    async fn submit(&self) {
        let number = self.any();
        let arguments = 1 + usize::try_from(self.chance.below(40)).unwrap_or(0);
        let (answered, answer) = oneshot::channel();
        let (id, outbox, due) = {
            let places = self.places.lock();
            let Some(node) = &places[number].node else {
                return;
            };
            let member = node.shared.member.as_ref().expect("it is a node");
            let Ok(ids) = member.take_ids(1) else { return };
            let id = TaskId(ids.start);
            std::fs::create_dir_all(self.ledger.folder(id)).expect("a folder");
            let later = self.chance.milliseconds(0, 4000);
            let due = When::steady(node.shared.time.now().saturating_add(later));
            let now = node.shared.time.wall();
            let change = tasks::insert(id, arguments, &self.ledger.folder(id), now, due);
            node.journal().put(vec![change], move |result| {
                // An error means that nobody waits any more.
                let _ = answered.send(result);
            });
            (id, node.outbox.clone(), due)
        };
        self.ledger
            .note(format!("task {id} is submitted at {}", NAMES[number]));
        let answer = tokio::time::timeout(ASKED_FOR, answer).await;
        if let Ok(Ok(Ok(verdicts))) = answer
            && verdicts == [Verdict::Done]
        {
            self.ledger.note(format!("task {id} is accepted"));
            self.accepted.lock().insert(id, arguments);
            // An error means that the node has died since.
            let _ = outbox.send(Message::Added(vec![(id, due)]));
        }
    }

    /// Asks a node to pause a task, to store it, to resume one, or to give it to a node.
    async fn ask(&self) {
        let ids: Vec<TaskId> = self.accepted.lock().keys().copied().collect();
        let Some(id) =
            ids.get(usize::try_from(self.chance.below(ids.len().max(1) as u64)).unwrap_or(0))
        else {
            return;
        };
        let ask = match self.chance.below(5) {
            0 => Ask::Checkpoint,
            1 => Ask::Resume(Default::default()),
            2 | 3 => match self.number_of(self.any()) {
                Some(node) => Ask::Give(node),
                None => return,
            },
            _ => Ask::Pause,
        };
        if matches!(ask, Ask::Pause) {
            self.paused.lock().push(*id);
        }
        self.command(self.any(), *id, ask).await;
    }

    async fn resume_paused(&self) {
        let paused = self.paused.lock().clone();
        for id in paused {
            for number in 0..NAMES.len() {
                self.command(number, id, Ask::Resume(Default::default()))
                    .await;
            }
        }
    }

    async fn command(&self, number: usize, id: TaskId, ask: Ask) {
        let (reply, answer) = oneshot::channel();
        let text = format!("{} is asked for {ask:?} of task {id}", NAMES[number]);
        {
            let places = self.places.lock();
            let Some(node) = &places[number].node else {
                return;
            };
            // An error means that the node has just died.
            let _ = node
                .outbox
                .send(Message::Command(Command { id, ask, reply }));
        }
        let answer = match tokio::time::timeout(ASKED_FOR, answer).await {
            Ok(Ok(Ok(()))) => "done".into(),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) | Err(_) => "no answer".into(),
        };
        self.ledger.note(format!("{text}: {answer}"));
    }
}
