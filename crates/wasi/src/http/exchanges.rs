//! All exchanges of a guest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::exchange::Exchange;
use super::outgoing::Outgoing;

/// How many bytes all messages together may hold that are on their way out. Beyond that no message
/// takes more.
const MAX_HELD: usize = 16 << 20;

/// All exchanges of a guest, and the messages that it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exchanges {
    /// The number of the next exchange or message.
    next: u64,
    exchanges: BTreeMap<u64, Exchange>,
    /// Messages on their way out. A body can be written before there is an exchange.
    messages: BTreeMap<u64, Outgoing>,
}

impl Exchanges {
    /// Whether nothing has ever been here.
    pub(crate) fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// The number of the next exchange, message, or request that a server has received.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        number
    }

    /// Adds a message, and gives its number.
    pub(crate) fn add_message(&mut self, message: Outgoing) -> u64 {
        let number = self.number();
        self.messages.insert(number, message);
        number
    }

    /// Adds an exchange, and gives its number.
    pub(crate) fn add(&mut self, exchange: Exchange) -> u64 {
        let number = self.number();
        self.exchanges.insert(number, exchange);
        number
    }

    /// The numbers of all exchanges.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.exchanges.keys().copied().collect()
    }

    /// An exchange.
    pub(crate) fn get(&self, number: u64) -> Option<&Exchange> {
        self.exchanges.get(&number)
    }

    /// Whether an exchange has this descriptor for its connection.
    pub(crate) fn uses(&self, fd: u32) -> bool {
        let mut all = self.exchanges.values();
        all.any(|exchange| exchange.fd == Some(fd))
    }

    /// Whether an exchange has a session of TLS.
    pub(crate) fn has_session(&self) -> bool {
        self.exchanges.values().any(Exchange::has_session)
    }

    /// An exchange, to change it.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Exchange> {
        self.exchanges.get_mut(&number)
    }

    /// An exchange with the message that it sends.
    pub(crate) fn pair_mut(&mut self, number: u64) -> Option<(&mut Exchange, &mut Outgoing)> {
        let exchange = self.exchanges.get_mut(&number)?;
        let message = self.messages.get_mut(&exchange.outgoing)?;
        Some((exchange, message))
    }

    /// All exchanges, each with the message that it sends.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (u64, &Exchange, &Outgoing)> {
        self.exchanges.iter().filter_map(|(number, exchange)| {
            let message = self.messages.get(&exchange.outgoing)?;
            Some((*number, exchange, message))
        })
    }

    /// A message, to change it.
    pub(crate) fn message_mut(&mut self, number: u64) -> Option<&mut Outgoing> {
        self.messages.get_mut(&number)
    }

    /// The exchange that sends a message.
    pub(crate) fn sender_of(&self, message: u64) -> Option<u64> {
        let mut all = self.exchanges.iter();
        all.find_map(|(number, exchange)| (exchange.outgoing == message).then_some(*number))
    }

    /// How many bytes may be written to a message now; `None` if nobody takes them.
    pub(crate) fn room(&self, message: u64) -> Option<u64> {
        let room = self.messages.get(&message)?.room()?;
        let held: usize = self.messages.values().map(Outgoing::held).sum();
        Some(if held < MAX_HELD { room } else { 0 })
    }

    /// Removes an exchange with its message, and gives the descriptor of its connection.
    pub(crate) fn remove(&mut self, number: u64) -> Option<u32> {
        let exchange = self.exchanges.remove(&number)?;
        self.messages.remove(&exchange.outgoing);
        exchange.fd
    }

    /// Removes a message that no exchange sends.
    pub(crate) fn remove_message(&mut self, number: u64) {
        if self.sender_of(number).is_none() {
            self.messages.remove(&number);
        }
    }

    /// A message.
    pub(crate) fn message(&self, number: u64) -> Option<&Outgoing> {
        self.messages.get(&number)
    }
}
