//! Questions and their answers: as a table without sockets, and over sockets with an upstream resolver of the test.

mod sockets;
mod table;

use std::sync::Arc;

use byrnie_plan::{NAME_SHARDS, Name as Plan, Names, name_shard};
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::config::NameTable;

/// The namespace of whoever asks is `shop`.
fn services() -> Vec<Plan> {
    let plan = |service: &str, addresses: &[&str], alias: Option<&str>| Plan {
        service: service.parse().unwrap(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ports: vec![80],
        alias: alias.map(str::to_owned),
    };
    vec![
        plan("shop/voting", &["240.240.0.7", "2001:2::7"], None),
        plan("shop/web", &["240.240.0.8"], None),
        plan("store/cart", &["240.240.0.9", "2001:2::9"], None),
        plan("shop/inner", &[], Some("voting.shop.svc.cluster.local")),
        plan("shop/outer", &[], Some("www.example.com")),
        plan("shop/circle", &[], Some("circle.shop.svc.cluster.local")),
        plan("shop/exhausted", &[], None),
    ]
}

fn table(is_complete: bool) -> Arc<NameTable> {
    let mut shards: Vec<Names> = (0..NAME_SHARDS).map(|shard| Names { shard, names: Vec::new() }).collect();
    for name in services() {
        let shard = name_shard(&name.service.namespace, &name.service.name);
        shards[usize::from(shard)].names.push(name);
    }
    shards.iter_mut().for_each(|shard| shard.names.sort_by(|a, b| a.service.cmp(&b.service)));
    Arc::new(NameTable::new(&NameTable::default(), shards.iter(), is_complete))
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn with_edns(mut query: Message, size: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size);
    query.set_edns(edns);
    query
}

/// The records of an answer as text, in order.
fn records(answer: &Message) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::A(address) => format!("A {}", address.0),
        RData::AAAA(address) => format!("AAAA {}", address.0),
        RData::CNAME(target) => format!("CNAME {}", target.0),
        RData::PTR(target) => format!("PTR {}", target.0),
        RData::HINFO(info) => format!("HINFO {}", String::from_utf8_lossy(&info.cpu)),
        other => format!("{other:?}"),
    };
    answer.answers.iter().map(|record| text(&record.data)).collect()
}
