//! When this process has too much to do: how many requests are in flight, and whether memory or descriptors run out.
//!
//! First kept-alive connections end with their next answer, then what is new is refused. The workers read two atomics;
//! the control thread looks at the machine.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use byrnie_decide::{Concurrency, Time};
use byrnie_net::cgroup::Memory;
use byrnie_plan::MeshSettings;
use tokio::sync::Notify;

use crate::error::{Kind, ProxyError};
use crate::room::Room;

/// All is well.
const FINE: u8 = 0;
/// Kept-alive connections end.
const DRAIN: u8 = 1;
/// What is new is refused.
const SHED: u8 = 2;

/// Descriptors that are none of connections: files, pipes, listening sockets.
const OTHER_DESCRIPTORS: u64 = 64;

/// What all workers share.
pub struct Overload {
    pressure: AtomicU8,
    /// How many this process may open.
    descriptors: u64,
    requests: AtomicU32,
    concurrency: Concurrency,
    /// Of descriptors, in percent, at the last look.
    descriptors_used: AtomicU8,
    /// Where there is little memory.
    little: OnceLock<Room>,
    /// Told, one by one, while kept-alive connections are to end.
    room: Notify,
}

/// A control group with less than this has nothing to spare for memory that is free already.
const SMALL: u64 = 256 << 20;

/// What runs out. Kept by the control thread.
pub struct Watch {
    memory: Option<Memory>,
}

/// The shares in use, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Of the control group's memory; 0 where nothing limits it.
    pub memory: u8,
    /// Of the descriptors that this process may open.
    pub descriptors: u8,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            pressure: AtomicU8::new(FINE),
            descriptors: byrnie_net::limits::descriptors(),
            requests: AtomicU32::new(0),
            concurrency: Concurrency::default(),
            descriptors_used: AtomicU8::new(0),
            little: OnceLock::new(),
            room: Notify::new(),
        }
    }
}

impl Overload {
    /// The share of descriptors in use, in percent. `connections`: those to clients and to endpoints.
    pub fn descriptors(&self, connections: u64) -> u8 {
        percent(connections.saturating_add(OTHER_DESCRIPTORS), self.descriptors)
    }

    /// A request's head has come.
    pub fn begin(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// It is over; `first_byte`: how long an answer took that did not fail.
    pub fn end(&self, now: Time, first_byte: Option<Duration>) {
        let in_flight = self.requests.fetch_sub(1, Relaxed);
        if let Some(latency) = first_byte {
            self.concurrency.answered(now, latency, in_flight);
        }
    }

    /// From now on memory is looked at with every few connections and requests, too.
    pub fn watch_closely(&self, memory: &Memory) {
        // Set once, before anything is served.
        let _ = self.little.set(Room::new(memory));
    }

    /// Where there is little memory: what is left.
    pub fn little(&self) -> Option<&Room> {
        self.little.get()
    }

    /// Whether there is memory for one more connection, as far as it is scarce. New ones come in only as long as
    /// kept-alive ones need not end for what is there already.
    pub fn has_room(&self, settings: &MeshSettings) -> bool {
        self.used_is_below(settings.drain_percent, settings)
    }

    /// The same for what a connection needs that has something to say. It has been let in, so it goes before new ones;
    /// and there is some left for those who are on their way when this is denied.
    pub fn has_room_to_ask(&self, settings: &MeshSettings) -> bool {
        self.used_is_below(settings.drain_percent.midpoint(settings.shed_percent), settings)
    }

    fn used_is_below(&self, percent: u8, settings: &MeshSettings) -> bool {
        let Some(room) = self.little.get().filter(|_| settings.shed_percent > 0) else { return true };
        room.look();
        room.share() < percent
    }

    /// Whether requests are refused. Where there is little memory it comes and goes many times between two looks of the
    /// control thread.
    fn is_full(&self, settings: &MeshSettings) -> bool {
        let Some(room) = self.little.get().filter(|_| settings.shed_percent > 0) else {
            return self.is_shedding();
        };
        room.look();
        room.share().max(self.descriptors_used.load(Relaxed)) >= settings.shed_percent
    }

    /// Asks connections to end if nothing happens on them: of `open` ones an eighth, those that were asked longest ago.
    pub fn make_room(&self, open: usize) {
        (0..=open / 8).for_each(|_| self.room.notify_one());
    }

    /// Returns when connections on which nothing happens are asked to end.
    pub async fn room_is_wanted(&self) {
        self.room.notified().await;
    }

    /// Whether one more request is taken; it counts already.
    pub fn admit(&self, settings: &MeshSettings) -> Result<(), ProxyError> {
        let in_flight = self.requests.load(Relaxed);
        let refuse = |kind, why| Err(ProxyError::unprocessed(kind, why));
        if self.is_full(settings) {
            return refuse(Kind::Shed, "memory or descriptors run out".into());
        }
        if in_flight > settings.max_requests {
            return refuse(Kind::TooManyRequests, format!("{in_flight} of {}", settings.max_requests));
        }
        if settings.adaptive_concurrency && in_flight > self.concurrency.limit() {
            return refuse(
                Kind::Slow,
                format!("{in_flight} of {} that latency allows", self.concurrency.limit()),
            );
        }
        Ok(())
    }

    /// Whether kept-alive connections are to end.
    pub fn is_draining(&self) -> bool {
        self.pressure.load(Relaxed) >= DRAIN
    }

    /// Whether what is new is refused.
    pub fn is_shedding(&self) -> bool {
        self.pressure.load(Relaxed) >= SHED
    }

    /// Requests in flight.
    pub fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// What latency allows.
    pub fn concurrency_limit(&self) -> u32 {
        self.concurrency.limit()
    }

    /// Sets what follows from the shares in use. True: it is another state than before.
    pub fn set(&self, pressure: Pressure, settings: &MeshSettings) -> bool {
        let share = pressure.memory.max(pressure.descriptors);
        self.descriptors_used.store(pressure.descriptors, Relaxed);
        let level = match share {
            _ if settings.shed_percent == 0 => FINE,
            share if share >= settings.shed_percent => SHED,
            share if share >= settings.drain_percent => DRAIN,
            _ => FINE,
        };
        self.pressure.swap(level, Relaxed) != level
    }
}

impl Watch {
    /// Finds what limits this process.
    pub fn new() -> Self {
        Self { memory: Memory::find() }
    }

    /// Bytes that this process may use: what its control group allows, else all that the machine has.
    pub fn allowed(&self) -> Option<u64> {
        let group = self.memory.as_ref().and_then(Memory::read).map(|reading| reading.limit);
        group.or_else(byrnie_net::cgroup::machine)
    }

    /// The group's memory, if it is so little that freed memory is to go back at once, and looks are to be many.
    pub fn small(&self) -> Option<&Memory> {
        let is_small = |memory: &&Memory| memory.read().is_some_and(|reading| reading.limit < SMALL);
        self.memory.as_ref().filter(is_small)
    }

    /// The share of memory in use, in percent; 0 where nothing limits it. Workers that look themselves are told.
    pub fn memory(&self, overload: &Overload) -> u8 {
        let Some(reading) = self.memory.as_ref().and_then(Memory::read) else { return 0 };
        if let Some(room) = overload.little() {
            room.note(reading);
        }
        percent(reading.used, reading.limit)
    }
}

/// As a share, in percent; 0 of nothing.
pub fn percent(used: u64, limit: u64) -> u8 {
    u8::try_from(used.saturating_mul(100).checked_div(limit).unwrap_or(0).min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_ends_first_and_then_what_is_new_is_refused() {
        let (overload, settings) = (Overload::default(), MeshSettings::default());
        overload.begin();
        for (memory, descriptors, drains, sheds) in [
            (84, 10, false, false),
            (85, 10, true, false),
            (10, 91, true, false),
            (92, 10, true, true),
            (10, 92, true, true),
            (50, 50, false, false),
        ] {
            overload.set(Pressure { memory, descriptors }, &settings);
            assert_eq!(
                (overload.is_draining(), overload.is_shedding()),
                (drains, sheds),
                "{memory} {descriptors}"
            );
            let kind = overload.admit(&settings).err().map(|error| error.kind);
            assert_eq!(kind, sheds.then_some(Kind::Shed));
        }
        let never = MeshSettings { shed_percent: 0, ..settings };
        overload.set(Pressure { memory: 100, descriptors: 100 }, &never);
        assert!(!overload.is_draining() && overload.admit(&never).is_ok());
    }

    #[test]
    fn requests_in_flight_are_bounded_and_places_come_back() {
        let (overload, settings) =
            (Overload::default(), MeshSettings { max_requests: 2, ..Default::default() });
        for want in [None, None, Some(Kind::TooManyRequests)] {
            overload.begin();
            assert_eq!(overload.admit(&settings).err().map(|error| error.kind), want);
        }
        overload.end(Time::ZERO, None);
        assert!(overload.admit(&settings).is_ok());
    }

    #[test]
    fn what_latency_allows_counts_where_it_is_wanted() {
        let (overload, settings) = (Overload::default(), MeshSettings::default());
        (0..200).for_each(|_| overload.begin());
        assert!(overload.admit(&settings).is_ok());
        let adaptive = MeshSettings { adaptive_concurrency: true, ..settings };
        assert_eq!(overload.admit(&adaptive).err().map(|error| error.kind), Some(Kind::Slow));
    }
}
