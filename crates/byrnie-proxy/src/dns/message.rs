//! Packets in and out: what is read of a query before it may cost anything, and how an answer is written.

use hickory_proto::op::{Edns, Message, Metadata, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record};

/// A message's head, in bytes.
pub const HEAD: usize = 12;

/// Largest query that is looked at, in bytes. Real ones have less than 300; what is larger is made to be expensive.
pub const MAX_QUERY: usize = 4096;

/// Largest answer by UDP, whatever a client says it takes: larger ones travel in fragments, which get lost and can be
/// forged (dnsflagday.net/2020).
pub const MAX_UDP: u16 = 1232;

/// What a client without EDNS takes by UDP (RFC 1035 section 4.2.1).
const CLASSIC_UDP: u16 = 512;

/// How long it may be kept that something does not exist, in seconds. Short: a Service may be created at any moment.
const NEGATIVE_TTL: u32 = 5;

/// The domain that we are the authority for.
const DOMAIN: &str = "cluster.local.";

/// Why there is no question.
pub enum Unreadable {
    /// No answer: it is an answer itself, or no DNS.
    Ignore,
    /// It cannot be read: this says so.
    Answer(Vec<u8>),
    /// It is no question: this says so.
    Refuse(Vec<u8>),
}

/// Most bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub usize);

impl Limit {
    /// What the client takes.
    pub fn of(query: &Message, by_tcp: bool) -> Self {
        let udp = query.edns.as_ref().map_or(CLASSIC_UDP, Edns::max_payload).clamp(CLASSIC_UDP, MAX_UDP);
        Self(if by_tcp { usize::from(u16::MAX) } else { usize::from(udp) })
    }
}

/// Reads a query. The head is looked at first: what it announces is believed only within small bounds.
pub fn read(packet: &[u8]) -> Result<Message, Unreadable> {
    let Some(head) = packet.first_chunk::<HEAD>() else { return Err(Unreadable::Ignore) };
    if head[2] & 0x80 != 0 {
        return Err(Unreadable::Ignore);
    }
    if (head[2] >> 3) & 0x0f != 0 {
        return Err(Unreadable::Refuse(bare(head, ResponseCode::NotImp)));
    }
    let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // One question, nothing else; but for what belongs to the way (OPT, TSIG).
    let plausible = count(4) == 1 && count(6) == 0 && count(8) == 0 && count(10) <= 2;
    if !plausible || packet.len() > MAX_QUERY {
        return Err(Unreadable::Answer(bare(head, ResponseCode::FormErr)));
    }
    Message::from_vec(packet).map_err(|_| Unreadable::Answer(bare(head, ResponseCode::FormErr)))
}

/// A head that says no. Never longer than what it answers.
fn bare(head: &[u8; HEAD], code: ResponseCode) -> Vec<u8> {
    let mut answer = [0; HEAD];
    answer[..2].copy_from_slice(&head[..2]);
    answer[2] = 0x80 | (head[2] & 0x79);
    answer[3] = 0x80 | code.low();
    answer.to_vec()
}

/// An answer to a query, without records so far.
pub fn respond(query: &Message) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata = Metadata::response_from_request(&query.metadata);
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = true;
    answer.queries.clone_from(&query.queries);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP).set_version(0);
        answer.set_edns(edns);
    }
    answer
}

/// An answer that is an error.
pub fn error(query: &Message, code: ResponseCode) -> Message {
    let mut answer = respond(query);
    answer.metadata.authoritative = false;
    answer.metadata.response_code = code;
    answer
}

/// Says who says that something does not exist, and for how long (RFC 2308). A name outside of our domain that we
/// answer for is a domain of its own: the owner must be the name or stand above it.
pub fn soa(name: &Name) -> Option<Record> {
    let domain = Name::from_ascii(DOMAIN).ok()?;
    let master = Name::from_ascii("ns.dns.cluster.local.").ok()?;
    let person = Name::from_ascii("hostmaster.cluster.local.").ok()?;
    let owner = if domain.zone_of(name) { domain } else { name.clone() };
    let data = SOA::new(master, person, 1, 7200, 1800, 86_400, NEGATIVE_TTL);
    Some(Record::from_rdata(owner, NEGATIVE_TTL, RData::SOA(data)))
}

/// An answer as bytes; what is too large is cut to its question, and says so. `None`: it cannot be written.
pub fn encode(answer: Message, limit: Limit) -> Option<Vec<u8>> {
    let bytes = answer.to_vec().ok()?;
    if bytes.len() <= limit.0 {
        return Some(bytes);
    }
    answer.truncate().to_vec().ok().filter(|bytes| bytes.len() <= limit.0)
}

/// Somebody else's answer, cut to its question when it is too large for our client.
pub fn fit(mut answer: Vec<u8>, query: &[u8], limit: Limit) -> Vec<u8> {
    if answer.len() <= limit.0 {
        return answer;
    }
    answer.truncate(HEAD + question(query).map_or(0, <[u8]>::len));
    if let Some(head) = answer.first_chunk_mut::<HEAD>() {
        head[2] |= 0x02;
        head[4..].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    }
    answer
}

/// The question's bytes, name, type and class. A name in a question is never compressed.
pub fn question(packet: &[u8]) -> Option<&[u8]> {
    let mut at = HEAD;
    loop {
        match packet.get(at)? {
            0 => return packet.get(HEAD..at + 5),
            length @ 1..=63 => at += 1 + usize::from(*length),
            _ => return None,
        }
    }
}
