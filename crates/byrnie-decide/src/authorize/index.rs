//! Which policies can be about a caller, so that a request does not look at all of those that name others.

use super::PeerView;
use super::compiled::{Named, Policy, Stance};
use crate::xxh64;

/// Policies by whom they name, as indexes, ascending.
#[derive(Debug, Default)]
pub(super) struct Index {
    identities: Table,
    namespaces: Table,
    /// Those that can be about anybody.
    others: Box<[u32]>,
    /// Those that let through, in dry run: all of them are reported where none matches.
    dry_allows: Box<[u32]>,
}

/// By hash of a text. Two texts of one hash do no harm: a policy that is found is still compared.
#[derive(Debug, Default)]
struct Table(Box<[(u32, u32)]>);

impl Index {
    pub(super) fn new(policies: &[Policy]) -> Self {
        let (mut identities, mut namespaces, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let is_dry_allow = |(_, policy): &(u32, &Policy)| policy.stance == Stance::DryAllow;
        let dry_allows = (0u32..).zip(policies).filter(is_dry_allow).map(|(index, _)| index).collect();
        for (index, policy) in (0u32..).zip(policies) {
            let Some(named) = policy.named() else {
                others.push(index);
                continue;
            };
            for name in named {
                match name {
                    Named::Identity(text) => identities.push((hash(text), index)),
                    Named::Namespace(text) => namespaces.push((hash(text), index)),
                }
            }
        }
        let (identities, namespaces) = (Table::new(identities), Table::new(namespaces));
        Self { identities, namespaces, others: others.into(), dry_allows }
    }

    pub(super) fn dry_allows(&self) -> &[u32] {
        &self.dry_allows
    }

    /// The policies that can match a request of this caller, ascending, each once.
    pub(super) fn candidates(&self, peer: Option<PeerView<'_>>) -> Candidates<'_> {
        Candidates([
            peer.map(|peer| self.identities.get(peer.id)).unwrap_or_default(),
            peer.map(|peer| self.namespaces.get(peer.namespace)).unwrap_or_default(),
            Indexes::Plain(&self.others),
            Indexes::default(),
        ])
    }
}

impl Table {
    fn new(mut entries: Vec<(u32, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        Self(entries.into())
    }

    fn get(&self, text: &str) -> Indexes<'_> {
        if self.0.is_empty() {
            return Indexes::default();
        }
        let wanted = hash(text);
        let start = self.0.partition_point(|(hash, _)| *hash < wanted);
        let found = self.0.get(start..).unwrap_or_default();
        let length = found.iter().take_while(|(hash, _)| *hash == wanted).count();
        Indexes::Hashed(found.get(..length).unwrap_or_default())
    }
}

fn hash(text: &str) -> u32 {
    xxh64(text.as_bytes()) as u32
}

/// Indexes, ascending.
#[derive(Clone, Copy, Debug)]
enum Indexes<'a> {
    Plain(&'a [u32]),
    Hashed(&'a [(u32, u32)]),
}

impl Default for Indexes<'_> {
    fn default() -> Self {
        Self::Plain(&[])
    }
}

impl Indexes<'_> {
    fn first(&self) -> Option<u32> {
        match self {
            Self::Plain(list) => list.first().copied(),
            Self::Hashed(list) => list.first().map(|(_, index)| *index),
        }
    }

    fn skip_one(&mut self) {
        match self {
            Self::Plain(list) => *list = list.get(1..).unwrap_or_default(),
            Self::Hashed(list) => *list = list.get(1..).unwrap_or_default(),
        }
    }
}

/// Several lists as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates<'a>([Indexes<'a>; 4]);

impl<'a> Candidates<'a> {
    /// And these, ascending.
    pub(super) fn and(self, more: &'a [u32]) -> Self {
        let [identities, namespaces, others, _] = self.0;
        Self([identities, namespaces, others, Indexes::Plain(more)])
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let next = self.0.iter().filter_map(Indexes::first).min()?;
        for list in &mut self.0 {
            if list.first() == Some(next) {
                list.skip_one();
            }
        }
        usize::try_from(next).ok()
    }
}
