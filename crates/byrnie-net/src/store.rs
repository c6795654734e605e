//! Named descriptors that a supervisor keeps for one child, to hand them back when it starts again.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

/// Descriptors kept for one child when nothing else is said: 64 upstreams, a gateway's ports, and room.
pub const DEFAULT_LIMIT: usize = 256;

/// A bounded store of named descriptors. Dropping it closes them all.
#[derive(Debug)]
pub struct FdStore {
    limit: usize,
    descriptors: BTreeMap<String, OwnedFd>,
}

impl Default for FdStore {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl FdStore {
    /// An empty store of at most `limit` descriptors.
    pub fn with_limit(limit: usize) -> Self {
        Self { limit, descriptors: BTreeMap::new() }
    }

    /// Keeps a descriptor. One of the same name is replaced. When the store is full the new one is closed and
    /// `false` comes back.
    pub fn insert(&mut self, name: String, descriptor: OwnedFd) -> bool {
        if self.descriptors.len() >= self.limit && !self.descriptors.contains_key(&name) {
            return false;
        }
        self.descriptors.insert(name, descriptor);
        true
    }

    /// Closes the descriptor of this name.
    pub fn remove(&mut self, name: &str) {
        self.descriptors.remove(name);
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// Duplicates of all, for the child that starts next; the store keeps its own.
    pub fn duplicates(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        self.descriptors.iter().map(|(name, fd)| Ok((name.clone(), fd.try_clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_replaces_by_name_and_is_bounded() {
        let open = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut store = FdStore::with_limit(2);
        assert!(store.insert("a".into(), open()));
        assert!(store.insert("b".into(), open()));
        assert!(!store.insert("c".into(), open()), "full");
        assert!(store.insert("a".into(), open()), "replacing is no growth");
        store.remove("b");
        assert!(store.insert("c".into(), open()));
        let names: Vec<String> = store.duplicates().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(store.len(), 2);
    }
}
