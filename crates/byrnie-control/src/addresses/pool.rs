//! Who has which virtual address. Pure: the caller has the clock and the store.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use byrnie_api::kinds::VirtualRange;
use byrnie_plan::ObjectName;
use jiff::Timestamp;

/// How long an address stays unused after its Service is gone: clients that resolved the name before must not reach
/// another service by it. Many keep an answer for as long as they run, so this is long beside any TTL.
pub const REST: Duration = Duration::from_secs(3600);

/// Addresses that rest at once; beyond, those that have rested longest are free again.
const MAX_RESTING: usize = 10_000;

/// All addresses of a range.
#[derive(Debug, Default)]
pub struct Pool {
    range: VirtualRange,
    numbers: HashMap<ObjectName, u32>,
    owners: HashMap<u32, ObjectName>,
    resting: BTreeMap<u32, Resting>,
}

/// An address whose Service is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Who had it, and gets it back at any time.
    pub service: ObjectName,
    /// When others may have it.
    pub until: Timestamp,
}

impl Pool {
    /// Nothing is taken.
    pub fn new(range: VirtualRange) -> Self {
        Self { range, ..Self::default() }
    }

    /// What it gives from.
    pub fn range(&self) -> &VirtualRange {
        &self.range
    }

    /// What a Service has.
    pub fn of(&self, service: &ObjectName) -> Option<Vec<IpAddr>> {
        self.numbers.get(service).map(|number| self.range.addresses(*number))
    }

    /// A Service has these addresses already. False: they are not of this range, or another one's.
    pub fn keep(&mut self, service: &ObjectName, addresses: &[IpAddr]) -> bool {
        let Some(number) = self.range.number(addresses) else { return false };
        if let Some(owner) = self.owners.get(&number) {
            return owner == service;
        }
        self.own(service, number);
        true
    }

    /// The Service's addresses: those that it has, had, or new ones. Which ones are new follows from the name, so that
    /// they are mostly the same again in another store. `None`: there are none left.
    pub fn take(&mut self, service: &ObjectName, now: Timestamp) -> Option<Vec<IpAddr>> {
        self.wake(now);
        let number = match self.numbers.get(service) {
            Some(number) => *number,
            None => {
                let mut rested = self.resting.iter().filter(|(_, resting)| resting.service == *service);
                let number = rested.next().map(|(number, _)| *number).or_else(|| self.free(service))?;
                self.own(service, number);
                number
            }
        };
        Some(self.range.addresses(number))
    }

    /// The Service is gone. True: its address rests now.
    pub fn release(&mut self, service: &ObjectName, now: Timestamp) -> bool {
        let Some(number) = self.numbers.remove(service) else { return false };
        self.owners.remove(&number);
        let until = now.saturating_add(REST).unwrap_or(Timestamp::MAX);
        self.rest(number, Resting { service: service.clone(), until });
        true
    }

    /// What rests, with its addresses' number.
    pub fn resting(&self) -> impl Iterator<Item = (u32, &Resting)> {
        self.resting.iter().map(|(number, resting)| (*number, resting))
    }

    /// From an earlier life.
    pub fn rest(&mut self, number: u32, resting: Resting) {
        if number >= self.range.len() || self.owners.contains_key(&number) {
            return;
        }
        self.resting.insert(number, resting);
        while self.resting.len() > MAX_RESTING {
            let oldest =
                self.resting.iter().min_by_key(|(_, resting)| resting.until).map(|(number, _)| *number);
            oldest.and_then(|number| self.resting.remove(&number));
        }
    }

    /// When the next address is free by time.
    pub fn next_free(&self) -> Option<Timestamp> {
        self.resting.values().map(|resting| resting.until).min()
    }

    fn wake(&mut self, now: Timestamp) {
        self.resting.retain(|_, resting| resting.until > now);
    }

    fn own(&mut self, service: &ObjectName, number: u32) {
        self.resting.remove(&number);
        if let Some(old) = self.numbers.insert(service.clone(), number) {
            self.owners.remove(&old);
        }
        self.owners.insert(number, service.clone());
    }

    /// The first one from where the name leads that nobody has or had lately.
    fn free(&self, service: &ObjectName) -> Option<u32> {
        let len = self.range.len();
        let start = (hash(service) % u64::from(len)) as u32; // less than len
        let all = (start..len).chain(0..start);
        let is_free = |number: &u32| !self.owners.contains_key(number) && !self.resting.contains_key(number);
        let taken = self.owners.len() + self.resting.len();
        if taken >= len as usize { None } else { all.into_iter().find(is_free) }
    }
}

/// FNV-1a, and its halves mixed: neighbours by name are none by address.
fn hash(service: &ObjectName) -> u64 {
    let bytes = service.namespace.bytes().chain([b'/']).chain(service.name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

#[cfg(test)]
mod tests {
    use byrnie_api::kinds::VirtualAddressSettings;

    use super::*;

    fn small() -> Pool {
        let settings = VirtualAddressSettings { ipv4_range: "10.9.0.0/28".into(), ipv6_range: String::new() };
        Pool::new(settings.range().unwrap())
    }

    fn service(number: usize) -> ObjectName {
        ObjectName::new("shop", format!("s{number}"))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn every_service_has_its_own_until_there_are_none_left() {
        let mut pool = small();
        let all: Vec<_> = (0..14).map(|i| pool.take(&service(i), at(0)).unwrap()).collect();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), 14);
        assert_eq!(pool.take(&service(14), at(0)), None);
        assert_eq!(pool.take(&service(3), at(0)).as_ref(), Some(&all[3]), "who has one, keeps it");
    }

    #[test]
    fn a_name_leads_to_the_same_address_in_every_life() {
        let mut first = Pool::new(VirtualRange::default());
        let mut second = Pool::new(VirtualRange::default());
        for i in 0..100 {
            first.take(&service(i), at(0)).unwrap();
        }
        let mut moved = 0;
        for i in (0..100).rev() {
            moved += usize::from(second.take(&service(i), at(0)) != first.of(&service(i)));
        }
        assert!(moved <= 2, "{moved} moved");
    }

    #[test]
    fn an_address_rests_before_another_service_has_it() {
        let mut pool = small();
        for i in 0..14 {
            pool.take(&service(i), at(0)).unwrap();
        }
        let had = pool.of(&service(5)).unwrap();
        assert!(pool.release(&service(5), at(10)));
        assert!(!pool.release(&service(5), at(10)));
        assert_eq!(pool.next_free(), Some(at(3610)));
        assert_eq!(pool.take(&service(99), at(3609)), None);
        assert_eq!(pool.take(&service(5), at(20)).as_ref(), Some(&had), "its own comes back at once");
        pool.release(&service(5), at(30));
        assert_eq!(pool.take(&service(99), at(3630)), Some(had));
        assert_eq!(pool.next_free(), None);
    }

    #[test]
    fn what_rests_survives_a_life_and_is_bounded() {
        let mut pool = Pool::new(VirtualRange::default());
        for i in 0..12_000 {
            pool.take(&service(i), at(0)).unwrap();
            pool.release(&service(i), at(i as i64));
        }
        assert_eq!(pool.resting().count(), MAX_RESTING);
        let mut next = Pool::new(VirtualRange::default());
        pool.resting().for_each(|(number, resting)| next.rest(number, resting.clone()));
        assert_eq!(next.resting().count(), MAX_RESTING);
        let (number, resting) = next.resting().next().map(|(n, r)| (n, r.clone())).unwrap();
        assert_eq!(next.take(&resting.service, at(0)), Some(next.range().addresses(number)));
    }

    #[test]
    fn what_a_service_has_is_kept_unless_it_is_another_ones() {
        let mut pool = small();
        let address = pool.range().addresses(4);
        assert!(pool.keep(&service(1), &address));
        assert!(pool.keep(&service(1), &address));
        assert!(!pool.keep(&service(2), &address));
        assert!(!pool.keep(&service(3), &["10.8.0.1".parse().unwrap()]));
        assert!(!pool.keep(&service(3), &[]));
        assert_eq!(pool.take(&service(1), at(0)), Some(address.clone()));
        // Another one of its own: the first is free.
        let other = pool.range().addresses(5);
        assert!(pool.keep(&service(1), &other));
        assert!(pool.keep(&service(2), &address));
    }
}
