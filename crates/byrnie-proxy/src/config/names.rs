//! The names and virtual addresses of all Services: what a proxy that captures traffic looks connections and DNS
//! questions up in. Empty, and nothing to anybody, where nothing is captured.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use byrnie_plan::{NAME_SHARDS, Name, Names, name_shard};
use foldhash::{HashMap, HashSet};

/// All names, by name and by address.
#[derive(Default)]
pub struct NameTable {
    /// By number; each ascending by namespace and name. Empty: nothing is captured.
    shards: Vec<Shard>,
    by_address: HashMap<IpAddr, Arc<NameEntry>>,
    namespaces: HashSet<String>,
    is_complete: bool,
}

type Shard = Arc<[Arc<NameEntry>]>;

/// One Service.
pub struct NameEntry {
    /// As compiled by the control plane.
    pub plan: Name,
    /// When it was called last: the decisions' clock, in microseconds. 0: never.
    pub used: AtomicU64,
}

impl NameTable {
    /// The table of these resources. What is known of a name in `before` stays. `is_complete`: no shard is on its way.
    pub fn new<'a>(before: &Self, held: impl Iterator<Item = &'a Names>, is_complete: bool) -> Self {
        let mut shards: Vec<Shard> = (0..NAME_SHARDS).map(|_| Shard::from([])).collect();
        let (mut by_address, mut namespaces) = (HashMap::default(), HashSet::default());
        for names in held {
            let entries: Shard = names.names.iter().map(|name| before.keep(name)).collect();
            for entry in entries.iter() {
                if !namespaces.contains(&entry.plan.service.namespace) {
                    namespaces.insert(entry.plan.service.namespace.clone());
                }
                by_address.extend(entry.plan.addresses.iter().map(|address| (*address, Arc::clone(entry))));
            }
            if let Some(place) = shards.get_mut(usize::from(names.shard)) {
                *place = entries;
            }
        }
        Self { shards, by_address, namespaces, is_complete }
    }

    fn keep(&self, name: &Name) -> Arc<NameEntry> {
        match self.named(&name.service.namespace, &name.service.name) {
            Some(entry) if entry.plan == *name => Arc::clone(entry),
            Some(entry) => {
                let used = AtomicU64::new(entry.used.load(std::sync::atomic::Ordering::Relaxed));
                Arc::new(NameEntry { plan: name.clone(), used })
            }
            None => Arc::new(NameEntry { plan: name.clone(), used: AtomicU64::new(0) }),
        }
    }

    /// The Service of this name, in lower case.
    pub fn named(&self, namespace: &str, name: &str) -> Option<&Arc<NameEntry>> {
        let shard = self.shards.get(usize::from(name_shard(namespace, name)))?;
        let key = |entry: &Arc<NameEntry>| {
            let service = &entry.plan.service;
            (service.namespace.as_str(), service.name.as_str()).cmp(&(namespace, name))
        };
        shard.get(shard.binary_search_by(key).ok()?)
    }

    /// The Service whose virtual address this is.
    pub fn at(&self, address: IpAddr) -> Option<&Arc<NameEntry>> {
        self.by_address.get(&address.to_canonical())
    }

    /// Whether there is any Service in a namespace, in lower case.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    /// Whether a name that is not in here does not exist.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How many names there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use byrnie_plan::ObjectName;

    use super::*;

    fn name(service: &str, address: &str) -> Name {
        let service: ObjectName = service.parse().unwrap();
        Name { service, addresses: vec![address.parse().unwrap()], ports: vec![80], alias: None }
    }

    fn table(before: &NameTable, names: &[Name]) -> NameTable {
        let mut shards: Vec<Names> =
            (0..NAME_SHARDS).map(|shard| Names { shard, names: Vec::new() }).collect();
        for name in names {
            let shard = name_shard(&name.service.namespace, &name.service.name);
            shards[usize::from(shard)].names.push(name.clone());
        }
        shards.iter_mut().for_each(|shard| shard.names.sort_by(|a, b| a.service.cmp(&b.service)));
        NameTable::new(before, shards.iter(), true)
    }

    #[test]
    fn ten_thousand_names_are_found_by_name_and_by_address() {
        let all: Vec<Name> = (0..10_000_u32)
            .map(|i| {
                name(&format!("ns{}/s{i}", i % 7), &std::net::Ipv4Addr::from(0xf0f0_0000 + i + 1).to_string())
            })
            .collect();
        let table = table(&NameTable::default(), &all);
        assert_eq!(table.len(), 10_000);
        for name in &all {
            let found = table.named(&name.service.namespace, &name.service.name).unwrap();
            assert_eq!(found.plan, *name);
            assert!(Arc::ptr_eq(table.at(name.addresses[0]).unwrap(), found));
            assert!(table.named(&name.service.namespace, "s").is_none());
        }
        assert!(table.at("240.241.0.0".parse().unwrap()).is_none());
        let std::net::IpAddr::V4(first) = all[0].addresses[0] else { panic!() };
        assert!(table.at(first.to_ipv6_mapped().into()).is_some(), "as a socket for both families sees it");
    }

    #[test]
    fn what_is_known_of_a_name_survives_a_change() {
        let first = table(&NameTable::default(), &[name("a/b", "240.240.0.1"), name("a/c", "240.240.0.2")]);
        first.named("a", "b").unwrap().used.store(7, Relaxed);
        first.named("a", "c").unwrap().used.store(8, Relaxed);
        let second = table(&first, &[name("a/b", "240.240.0.1"), name("a/c", "240.240.0.3")]);
        assert!(Arc::ptr_eq(first.named("a", "b").unwrap(), second.named("a", "b").unwrap()));
        assert_eq!(second.named("a", "c").unwrap().used.load(Relaxed), 8);
        assert!(second.at("240.240.0.2".parse().unwrap()).is_none());
    }

    #[test]
    fn without_capture_there_is_nothing() {
        let table = NameTable::default();
        assert!(table.named("a", "b").is_none() && table.at("240.240.0.1".parse().unwrap()).is_none());
        assert!(!table.is_complete());
    }
}
