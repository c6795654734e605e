//! Client connections that are open, for the operator. Touched when one begins and ends, never by a request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::front::Entrance;

/// Parts of the list, each with a lock of its own, so that workers do not meet.
const PARTS: usize = 16;
/// Connections of a part for which there is always space.
const FEW: usize = 16;
/// Connections that are shown.
const SHOWN: usize = 10_000;

/// All client connections.
#[derive(Default)]
pub struct Listing {
    next: AtomicU64,
    parts: [Mutex<HashMap<u64, One>>; PARTS],
}

struct One {
    remote: SocketAddr,
    entrance: Entrance,
    since: Instant,
}

/// One connection in the list; gone with this.
pub struct Listed {
    listing: Arc<Listing>,
    id: u64,
}

impl Listing {
    /// A connection has begun.
    pub fn add(self: &Arc<Self>, remote: SocketAddr, entrance: Entrance) -> Listed {
        let id = self.next.fetch_add(1, Relaxed);
        self.part(id).lock().insert(id, One { remote, entrance, since: Instant::now() });
        Listed { listing: Arc::clone(self), id }
    }

    fn part(&self, id: u64) -> &Mutex<HashMap<u64, One>> {
        // Always within: there are as many parts.
        &self.parts[(id % PARTS as u64) as usize]
    }

    /// Oldest first, at most 10,000.
    pub fn all(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for part in &self.parts {
            for (id, one) in part.lock().iter() {
                let (entrance, to) = match &one.entrance {
                    Entrance::Mesh => ("mesh", String::new()),
                    Entrance::HttpProxy => ("httpProxy", String::new()),
                    Entrance::Upstream(name) => ("upstream", format!("{}:{}", name.service, name.port)),
                    Entrance::Gateway(port) => ("gateway", port.to_string()),
                    Entrance::Outbound => ("outbound", String::new()),
                    Entrance::Inbound => ("inbound", String::new()),
                    Entrance::Endpoint(address) => ("endpoint", address.to_string()),
                };
                let age = u64::try_from(one.since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let item = json!({
                    "remote": one.remote.to_string(), "entrance": entrance, "to": to, "ageMs": age,
                });
                all.push((*id, item));
            }
        }
        all.sort_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, item)| item).take(SHOWN).collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut part = self.listing.part(self.id).lock();
        part.remove(&self.id);
        // What many connections took is not kept when they have gone.
        if part.len() < part.capacity() / 8 {
            part.shrink_to(FEW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_took_is_given_back() {
        let listing: Arc<Listing> = Arc::default();
        let space = || listing.parts.iter().map(|part| part.lock().capacity()).sum::<usize>();
        let add = || listing.add(SocketAddr::from(([127, 0, 0, 1], 1)), Entrance::Mesh);
        let mut many: Vec<Listed> = (0..10_000).map(|_| add()).collect();
        assert!(listing.all().len() == 10_000 && space() >= 10_000);
        many.truncate(3);
        assert_eq!(listing.all().len(), 3);
        assert!(space() <= PARTS * FEW * 2, "{} places", space());
    }
}
