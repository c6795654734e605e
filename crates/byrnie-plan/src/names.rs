//! Which names there are, and which virtual addresses stand for them.
//!
//! A proxy that captures traffic must know every Service's name, not only those that its workload calls. So that a
//! change of one Service among ten thousand costs little, the names are spread over [`NAME_SHARDS`] resources.

use std::net::IpAddr;

use crate::ObjectName;

/// How many `Names` resources there are, each with the names that [`name_shard`] gives it. 10,000 Services make some
/// 160 names, about 8 KiB, in each.
pub const NAME_SHARDS: u8 = 64;

/// The names of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Less than [`NAME_SHARDS`].
    pub shard: u8,
    /// Ascending by service.
    pub names: Vec<Name>,
}

/// One Service as names and addresses lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The Service.
    pub service: ObjectName,
    /// Its virtual addresses, of all Services no two the same. Empty: it has none (yet).
    pub addresses: Vec<IpAddr>,
    /// The ports that callers name, ascending.
    pub ports: Vec<u16>,
    /// An `ExternalName`: the DNS name that it stands for. It has no addresses then.
    pub alias: Option<String>,
}

/// The shard that a Service's name is in. Part of the wire format.
pub fn name_shard(namespace: &str, name: &str) -> u8 {
    // FNV-1a, 64 bits: spreads well, and is the same in every process and release.
    let bytes = namespace.bytes().chain([b'/']).chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ((hash ^ (hash >> 32)) % u64::from(NAME_SHARDS)) as u8 // less than NAME_SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spread_evenly_and_for_ever() {
        let mut counts = [0_u32; NAME_SHARDS as usize];
        for number in 0..6_400 {
            counts[usize::from(name_shard("shop", &format!("service-{number}")))] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
        assert_eq!(name_shard("shop", "web"), 56, "part of the wire format");
    }
}
