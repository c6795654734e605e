//! What a DNS question is answered: pure, from the table of names alone. No socket, no clock.
//!
//! A Service `voting` in namespace `shop` has four names: `voting` (for workloads of its namespace), `voting.shop`,
//! `voting.shop.svc` and `voting.shop.svc.cluster.local`. We are the authority for `cluster.local` and say what does
//! not exist there; every other name that is no Service's belongs to somebody else, whom we ask.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::message::{self, Limit, Unreadable, error, respond, soa};
use crate::config::{NameEntry, NameTable};

/// Aliases of aliases that are followed.
const MAX_ALIASES: usize = 8;

/// Who asks, and what is told about how long an answer holds.
pub struct Client<'a> {
    /// Whose single labels are meant.
    pub namespace: &'a str,
    /// How long an answer may be kept.
    pub ttl: Duration,
    /// Whether there is no bound on the answer's size but that of the wire format.
    pub by_tcp: bool,
}

/// What is done with a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// No answer: it is none of a question, or an answer would help an attacker.
    Ignore,
    /// This is the answer.
    Answer(Vec<u8>, Outcome),
    /// Somebody else knows. The answer that is passed on has at most so many bytes.
    Forward(Limit),
    /// The Service is an alias of a name that somebody else knows.
    Alias(Box<Alias>),
}

/// A Service that stands for a name outside of the mesh.
#[derive(Debug, PartialEq, Eq)]
pub struct Alias {
    /// The answer as far as we know it.
    pub answer: Message,
    /// What to ask.
    pub target: Name,
    /// For records of this type.
    pub kind: RecordType,
    /// Most bytes of the answer.
    pub limit: Limit,
}

/// How a question ended: the values of `byrnie_dns_queries_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With records of ours.
    Answered,
    /// The name exists, without such records.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// What nobody may ask here.
    Refused,
    /// It cannot be read.
    Malformed,
    /// We cannot tell now.
    Failed,
}

/// Decides about one packet.
pub fn decide(packet: &[u8], names: &NameTable, client: &Client<'_>) -> Decision {
    let query = match message::read(packet) {
        Ok(query) => query,
        Err(Unreadable::Ignore) => return Decision::Ignore,
        Err(Unreadable::Answer(bytes)) => return Decision::Answer(bytes, Outcome::Malformed),
        Err(Unreadable::Refuse(bytes)) => return Decision::Answer(bytes, Outcome::Refused),
    };
    let limit = Limit::of(&query, client.by_tcp);
    let Some(question) = query.queries.first() else { return Decision::Ignore };
    if query.version() != 0 {
        return finish(error(&query, ResponseCode::BADVERS), limit, Outcome::Refused);
    }
    let kind = question.query_type();
    if question.query_class() != DNSClass::IN || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return finish(error(&query, ResponseCode::Refused), limit, Outcome::Refused);
    }
    match find(question.name(), names, client.namespace) {
        Found::Service(entry) => of_service(&query, entry, names, client, limit),
        Found::Reverse(entry) => {
            let mut answer = respond(&query);
            let Some(target) = full_name(entry) else { return Decision::Ignore };
            match kind {
                RecordType::PTR => add(&mut answer, question.name(), client.ttl, RData::PTR(PTR(target))),
                RecordType::ANY => add(&mut answer, question.name(), client.ttl, any()),
                _ => return nodata(&query, limit),
            }
            finish(answer, limit, Outcome::Answered)
        }
        Found::Between => nodata(&query, limit),
        Found::Nothing => {
            let mut answer = error(&query, ResponseCode::NXDomain);
            answer.metadata.authoritative = true;
            answer.authorities.extend(soa(question.name()));
            finish(answer, limit, Outcome::NxDomain)
        }
        Found::Unknown => finish(error(&query, ResponseCode::ServFail), limit, Outcome::Failed),
        // All that somebody else has, for a packet of a few bytes: not from here (RFC 8482 section 4.2).
        Found::Elsewhere if kind == RecordType::ANY => {
            let mut answer = respond(&query);
            answer.metadata.authoritative = false;
            add(&mut answer, question.name(), client.ttl, any());
            finish(answer, limit, Outcome::Refused)
        }
        Found::Elsewhere => Decision::Forward(limit),
    }
}

/// The answer when nobody else has one.
pub fn failed(packet: &[u8]) -> Option<Vec<u8>> {
    let query = message::read(packet).ok()?;
    message::encode(error(&query, ResponseCode::ServFail), Limit::of(&query, false))
}

fn of_service(
    query: &Message,
    entry: &NameEntry,
    names: &NameTable,
    client: &Client<'_>,
    limit: Limit,
) -> Decision {
    let Some(question) = query.queries.first() else { return Decision::Ignore };
    let kind = question.query_type();
    let mut answer = respond(query);
    if kind == RecordType::ANY {
        add(&mut answer, question.name(), client.ttl, any());
        return finish(answer, limit, Outcome::Answered);
    }
    let (mut owner, mut entry) = (question.name().clone(), entry);
    for _ in 0..MAX_ALIASES {
        let Some(alias) = &entry.plan.alias else {
            let before = answer.answers.len();
            for address in &entry.plan.addresses {
                if let Some(data) = of_kind(*address, kind) {
                    add(&mut answer, &owner, client.ttl, data);
                }
            }
            return match answer.answers.len() {
                0 => nodata(query, limit),
                // The alias exists; what it stands for has no such records.
                count if count == before => {
                    answer.authorities.extend(soa(&owner));
                    finish(answer, limit, Outcome::NoData)
                }
                _ => finish(answer, limit, Outcome::Answered),
            };
        };
        let Ok(target) = Name::from_ascii(format!("{}.", alias.trim_end_matches('.'))) else { break };
        add(&mut answer, &owner, client.ttl, RData::CNAME(CNAME(target.clone())));
        if kind == RecordType::CNAME {
            return finish(answer, limit, Outcome::Answered);
        }
        match find(&target, names, client.namespace) {
            Found::Service(next) => (owner, entry) = (target, next),
            Found::Elsewhere => return Decision::Alias(Box::new(Alias { answer, target, kind, limit })),
            _ => return finish(answer, limit, Outcome::Answered),
        }
    }
    // A circle, or what is no name.
    finish(error(query, ResponseCode::ServFail), limit, Outcome::Failed)
}

fn of_kind(address: IpAddr, kind: RecordType) -> Option<RData> {
    match (address, kind) {
        (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(address))),
        (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(address))),
        _ => None,
    }
}

/// Instead of everything.
fn any() -> RData {
    RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()))
}

fn add(answer: &mut Message, owner: &Name, ttl: Duration, data: RData) {
    let ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
    answer.add_answer(Record::from_rdata(owner.clone(), ttl, data));
}

fn nodata(query: &Message, limit: Limit) -> Decision {
    let mut answer = respond(query);
    answer.authorities.extend(query.queries.first().and_then(|question| soa(question.name())));
    finish(answer, limit, Outcome::NoData)
}

fn finish(answer: Message, limit: Limit, outcome: Outcome) -> Decision {
    match message::encode(answer, limit) {
        Some(bytes) => Decision::Answer(bytes, outcome),
        None => Decision::Ignore,
    }
}

fn full_name(entry: &NameEntry) -> Option<Name> {
    let service = &entry.plan.service;
    Name::from_ascii(format!("{}.{}.svc.cluster.local.", service.name, service.namespace)).ok()
}

/// Whose name it is.
enum Found<'a> {
    Service(&'a NameEntry),
    /// The name of a virtual address.
    Reverse(&'a NameEntry),
    /// It has no records, and names below it have: a namespace, for example (RFC 8020).
    Between,
    /// It is ours, and does not exist.
    Nothing,
    /// It is or may be ours, and we do not know all names yet.
    Unknown,
    /// Somebody else's.
    Elsewhere,
}

fn find<'a>(name: &Name, names: &'a NameTable, own_namespace: &str) -> Found<'a> {
    // Lower-case labels; those that no Service can have are no text, and match nothing.
    let labels: Vec<String> =
        name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    if let Some(address) = reversed(&labels) {
        return names.at(address).map_or(Found::Elsewhere, |entry| Found::Reverse(entry));
    }
    let service = |namespace: &str, name: &str, otherwise: Found<'a>| match names.named(namespace, name) {
        Some(entry) => Found::Service(entry),
        None if !names.is_complete() => Found::Unknown,
        None => otherwise,
    };
    match labels.as_slice() {
        ["cluster", "local"] | ["svc", "cluster", "local"] => Found::Between,
        [namespace, "svc", "cluster", "local"] if names.has_namespace(namespace) => Found::Between,
        [name, namespace, "svc", "cluster", "local"] => service(namespace, name, Found::Nothing),
        [.., "cluster", "local"] if !names.is_complete() => Found::Unknown,
        [.., "cluster", "local"] => Found::Nothing,
        [name, namespace, "svc"] | [name, namespace] => service(namespace, name, Found::Elsewhere),
        [name] => service(own_namespace, name, Found::Elsewhere),
        _ => Found::Elsewhere,
    }
}

/// The address whose name is asked for below `in-addr.arpa` and `ip6.arpa`.
fn reversed(labels: &[&str]) -> Option<IpAddr> {
    match labels {
        [d, c, b, a, "in-addr", "arpa"] => {
            let octet = |text: &&str| text.parse::<u8>().ok();
            Some(IpAddr::from([octet(a)?, octet(b)?, octet(c)?, octet(d)?]))
        }
        [nibbles @ .., "ip6", "arpa"] if nibbles.len() == 32 => {
            let mut value = 0_u128;
            for nibble in nibbles.iter().rev() {
                let digit = nibble.chars().next().filter(|_| nibble.len() == 1)?.to_digit(16)?;
                value = value << 4 | u128::from(digit);
            }
            Some(IpAddr::from(value.to_be_bytes()))
        }
        _ => None,
    }
}
