//! A network between two daemons that can be stopped at any record of TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stands before a daemon's port for peers.
pub struct Gate {
    pub address: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    target: Mutex<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Records that have come, since the gate was armed.
    count: usize,
    plan: Option<Plan>,
    /// Connections that there have been.
    connections: u64,
    /// Those that were made after the gate was armed: they alone are counted and stopped.
    armed: std::ops::Range<u64>,
    /// Connections that carry nothing, and stay open.
    stalled: std::ops::Range<u64>,
}

struct Plan {
    /// At this record the network stops.
    at: usize,
    /// The record itself still comes through.
    deliver: bool,
    reached: Sender<()>,
}

impl Gate {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("it is bound").to_string();
        let shared = Arc::new(Shared::default());
        let gate = Self {
            address,
            shared: shared.clone(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let target = shared.target.lock().expect("no panic").clone();
                let Ok(other) = TcpStream::connect(target) else {
                    continue;
                };
                for stream in [&stream, &other] {
                    stream.set_nodelay(true).expect("a socket");
                }
                let number = {
                    let mut state = shared.state.lock().expect("no panic");
                    state.connections += 1;
                    state.connections
                };
                let pair = |from: &TcpStream, to: &TcpStream| {
                    let (from, to) = (from.try_clone(), to.try_clone());
                    (from.expect("a socket"), to.expect("a socket"))
                };
                for (from, to) in [pair(&stream, &other), pair(&other, &stream)] {
                    let shared = shared.clone();
                    std::thread::spawn(move || shared.carry(from, to, number));
                }
            }
        });
        gate
    }

    pub fn aim(&self, target: &str) {
        *self.shared.target.lock().expect("no panic") = target.into();
    }

    /// Counts from now on, and stops at this record. Gives what tells when that has come.
    pub fn arm(&self, at: usize, deliver: bool) -> Receiver<()> {
        let (reached, told) = channel();
        let mut state = self.shared.state.lock().expect("no panic");
        state.count = 0;
        state.armed = state.connections + 1..u64::MAX;
        state.plan = Some(Plan {
            at,
            deliver,
            reached,
        });
        told
    }

    /// Lets nothing through on so many connections from the next one on. Gives the number of that.
    pub fn stall(&self, count: u64) -> u64 {
        let mut state = self.shared.state.lock().expect("no panic");
        let next = state.connections + 1;
        state.stalled = next..next.saturating_add(count);
        next
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u64 {
        self.shared.state.lock().expect("no panic").connections
    }

    /// Closes what was made since it was armed, and lets everything through again. Gives how many records had come.
    pub fn open(&self) -> usize {
        let mut state = self.shared.state.lock().expect("no panic");
        state.plan = None;
        state.armed.end = state.connections + 1;
        state.count
    }
}

impl Shared {
    /// Carries records one way.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, number: u64) {
        let close = |from: &TcpStream, to: &TcpStream| {
            // It may be closed already.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        };
        loop {
            let mut record = vec![0; 5];
            let head = from.read_exact(&mut record);
            let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + length, 0);
            if head
                .and_then(|()| from.read_exact(&mut record[5..]))
                .is_err()
            {
                return close(&from, &to);
            }
            let mut stops = false;
            {
                let mut state = self.state.lock().expect("no panic");
                if state.stalled.contains(&number) {
                    continue;
                }
                let counted = state.armed.contains(&number);
                if counted && state.plan.is_none() {
                    return close(&from, &to);
                }
                state.count += usize::from(counted);
                let count = state.count;
                if let Some(plan) = &state.plan
                    && counted
                    && count >= plan.at
                {
                    stops = true;
                    if count == plan.at && plan.deliver {
                        let _ = to.write_all(&record);
                    }
                    if count == plan.at {
                        // The test may have ended.
                        let _ = plan.reached.send(());
                    }
                }
            }
            if stops {
                // Nothing comes or goes until the gate is opened, and then this connection is gone.
                while self.state.lock().expect("no panic").plan.is_some() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return close(&from, &to);
            }
            if to.write_all(&record).is_err() {
                return close(&from, &to);
            }
        }
    }
}
