//! Who read what. Nodes and facts are kept once and numbered, so that one read costs a few bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::graph::{Fact, Node};

/// Who read what.
#[derive(Default)]
pub(crate) struct Reads {
    nodes: Numbers<Node>,
    facts: Numbers<Fact>,
    /// By node: the facts that it read, ascending.
    reads: Vec<Vec<u32>>,
    /// By fact: the nodes that read it.
    readers: Vec<BTreeSet<u32>>,
}

/// Numbers for values; given back when a value is forgotten.
struct Numbers<T> {
    by_value: BTreeMap<Arc<T>, u32>,
    by_number: Vec<Option<Arc<T>>>,
    free: Vec<u32>,
}

impl Reads {
    /// Replaces what is known about a node's reads.
    pub(crate) fn record(&mut self, node: &Node, facts: BTreeSet<Fact>) {
        let number = self.nodes.give(node.clone());
        let mut new: Vec<u32> = facts.into_iter().map(|fact| self.facts.give(fact)).collect();
        new.sort_unstable();
        let old = std::mem::replace(slot(&mut self.reads, number), new);
        let new = &self.reads[number as usize];
        for fact in new.iter().filter(|fact| old.binary_search(fact).is_err()) {
            slot(&mut self.readers, *fact).insert(number);
        }
        let gone: Vec<u32> = old.into_iter().filter(|fact| new.binary_search(fact).is_err()).collect();
        self.unread(number, &gone);
    }

    /// Removes a node and everything that it read.
    pub(crate) fn forget(&mut self, node: &Node) {
        if let Some(number) = self.nodes.take(node) {
            let gone = std::mem::take(slot(&mut self.reads, number));
            self.unread(number, &gone);
        }
    }

    fn unread(&mut self, node: u32, facts: &[u32]) {
        for fact in facts {
            let readers = slot(&mut self.readers, *fact);
            readers.remove(&node);
            if readers.is_empty() {
                self.facts.free(*fact);
            }
        }
    }

    /// Whether a node was computed and stands for something that exists.
    pub(crate) fn knows(&self, node: &Node) -> bool {
        self.nodes.by_value.contains_key(node)
    }

    /// The nodes that read a fact.
    pub(crate) fn readers(&self, fact: &Fact) -> impl Iterator<Item = &Node> {
        let number = self.facts.by_value.get(fact);
        let readers = number.and_then(|number| self.readers.get(*number as usize));
        readers.into_iter().flatten().filter_map(|node| self.nodes.value(*node))
    }

    /// Number of nodes and facts: for tests of what is forgotten.
    #[cfg(test)]
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.nodes.by_value.len(), self.facts.by_value.len())
    }
}

/// The entry of a number, made when it is new.
fn slot<T: Default>(list: &mut Vec<T>, number: u32) -> &mut T {
    let index = number as usize;
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}

impl<T: Ord> Numbers<T> {
    fn give(&mut self, value: T) -> u32 {
        if let Some(number) = self.by_value.get(&value) {
            return *number;
        }
        let value = Arc::new(value);
        let number = match self.free.pop() {
            Some(number) => number,
            // Four thousand million of them do not fit into any memory.
            None => u32::try_from(self.by_number.len()).unwrap_or(u32::MAX),
        };
        *slot(&mut self.by_number, number) = Some(Arc::clone(&value));
        self.by_value.insert(value, number);
        number
    }

    fn value(&self, number: u32) -> Option<&T> {
        self.by_number.get(number as usize)?.as_deref()
    }

    fn take(&mut self, value: &T) -> Option<u32> {
        let number = self.by_value.remove(value)?;
        *slot(&mut self.by_number, number) = None;
        self.free.push(number);
        Some(number)
    }

    fn free(&mut self, number: u32) {
        if let Some(value) = slot(&mut self.by_number, number).take() {
            self.by_value.remove(&value);
            self.free.push(number);
        }
    }
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { by_value: BTreeMap::new(), by_number: Vec::new(), free: Vec::new() }
    }
}
