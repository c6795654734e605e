//! `Names`.

use byrnie_plan::{NAME_SHARDS, Name, Names, name_shard};

use super::field::{MAX_LIST, ascending, at, filled, invalid, ip, ip_bytes, list, maybe, name, port, within};
use crate::error::DecodeError;
use crate::generated as pb;

/// Most names in one shard: a million Services in all.
const MAX_NAMES: usize = 16_384;
/// Most addresses of one Service: one of each family.
const MAX_ADDRESSES: usize = 2;

pub(super) fn to_proto(names: &Names) -> pb::Names {
    pb::Names { shard: names.shard.into(), names: names.names.iter().map(name_to_proto).collect() }
}

fn name_to_proto(name: &Name) -> pb::Name {
    pb::Name {
        service: name.service.to_string(),
        addresses: name.addresses.iter().copied().map(ip_bytes).collect(),
        ports: name.ports.iter().copied().map(u32::from).collect(),
        alias: name.alias.clone(),
    }
}

pub(super) fn from_proto(wire: pb::Names) -> Result<Names, DecodeError> {
    let shard = at("shard", within(wire.shard, 0, u16::from(NAME_SHARDS) - 1))? as u8; // less than NAME_SHARDS
    let names = list("names", wire.names, MAX_NAMES, |wire| {
        let name = name_from_proto(wire)?;
        match name_shard(&name.service.namespace, &name.service.name) == shard {
            true => Ok(name),
            false => Err(invalid("a name of this shard").within("service")),
        }
    })?;
    ascending("names", &names, |name| name.service.clone())?;
    Ok(Names { shard, names })
}

fn name_from_proto(wire: pb::Name) -> Result<Name, DecodeError> {
    let ports = list("ports", wire.ports, MAX_LIST, port)?;
    ascending("ports", &ports, |port| *port)?;
    Ok(Name {
        service: at("service", name(&wire.service))?,
        addresses: list("addresses", wire.addresses, MAX_ADDRESSES, |bytes| ip(&bytes))?,
        ports,
        alias: maybe("alias", wire.alias, filled)?,
    })
}
