//! Questions that are on their way to other resolvers: how many, under which numbers, and whether one of them came back
//! to us, as it does where the host's resolver asks this proxy.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::net::SocketAddr;

use foldhash::HashMap;

use super::message::{HEAD, question};
use super::upstream::same_question;

/// All of them.
#[derive(Default)]
pub struct Flights {
    /// By number and question; to which server.
    on_their_way: RefCell<HashMap<(u16, u64), SocketAddr>>,
    hasher: foldhash::fast::RandomState,
}

/// One question's place; given back when dropped.
pub struct Ticket<'a> {
    flights: &'a Flights,
    key: (u16, u64),
}

impl Flights {
    /// A number for a question to a server. `None`: it is no question.
    pub fn begin(&self, query: &[u8], server: SocketAddr) -> Option<Ticket<'_>> {
        let hash = self.hash(query)?;
        let mut on_their_way = self.on_their_way.borrow_mut();
        // 65,536 numbers for the few that ask the same at once: the first is free.
        let key = loop {
            let key = (rand::random::<u16>(), hash);
            if !on_their_way.contains_key(&key) {
                break key;
            }
        };
        on_their_way.insert(key, server);
        Some(Ticket { flights: self, key })
    }

    /// The server that a packet came back from, if it is a question of ours.
    pub fn came_back(&self, packet: &[u8]) -> Option<SocketAddr> {
        let on_their_way = self.on_their_way.borrow();
        if on_their_way.is_empty() {
            return None;
        }
        let number = u16::from_be_bytes([*packet.first()?, *packet.get(1)?]);
        on_their_way.get(&(number, self.hash(packet)?)).copied()
    }

    fn hash(&self, packet: &[u8]) -> Option<u64> {
        Some(self.hasher.hash_one(question(packet)?.to_ascii_lowercase()))
    }
}

impl Ticket<'_> {
    /// The question under its number.
    pub fn stamp(&self, query: &[u8]) -> Vec<u8> {
        let mut sent = query.to_vec();
        if let Some(number) = sent.first_chunk_mut::<2>() {
            *number = self.key.0.to_be_bytes();
        }
        sent
    }

    /// Whether a packet is the answer to the question that was sent.
    pub fn is_answer(&self, packet: &[u8], sent: &[u8]) -> bool {
        packet.len() >= HEAD
            && packet[..2] == self.key.0.to_be_bytes()
            && packet[2] & 0x80 != 0
            && same_question(packet, sent)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.flights.on_their_way.borrow_mut().remove(&self.key);
    }
}
