//! The pure decision: every name, type and size; garbage; and properties of all of them.

use std::time::Duration;

use hickory_proto::op::{MessageType, OpCode, ResponseCode};
use hickory_proto::rr::DNSClass;
use proptest::prelude::*;

use super::super::decide::{Client, Decision, Outcome, decide, failed};
use super::super::message::{Limit, MAX_QUERY, fit, question};
use super::super::upstream::{parse, same_question};
use super::*;

const CLIENT: Client<'static> = Client { namespace: "shop", ttl: Duration::from_secs(30), by_tcp: false };

fn decided(query: &Message) -> Decision {
    decide(&query.to_vec().unwrap(), &table(true), &CLIENT)
}

fn answered(query: &Message) -> (Message, Outcome) {
    match decided(query) {
        Decision::Answer(bytes, outcome) => (Message::from_vec(&bytes).unwrap(), outcome),
        other => panic!("{other:?}"),
    }
}

fn ask(name: &str, kind: RecordType) -> (Message, Outcome) {
    answered(&query(name, kind))
}

#[test]
fn a_service_has_four_names_in_any_case_with_or_without_dot() {
    for name in ["voting", "voting.shop", "voting.shop.svc", "voting.shop.svc.cluster.local"] {
        for name in [name.to_owned(), format!("{name}."), name.to_uppercase(), "V".to_owned() + &name[1..]] {
            let (answer, outcome) = ask(&name, RecordType::A);
            assert_eq!(records(&answer), ["A 240.240.0.7"], "{name}");
            assert_eq!(records(&ask(&name, RecordType::AAAA).0), ["AAAA 2001:2::7"], "{name}");
            assert_eq!(outcome, Outcome::Answered);
            let meta = &answer.metadata;
            assert_eq!(meta.message_type, MessageType::Response);
            assert!(meta.authoritative && meta.recursion_available && meta.recursion_desired);
            assert_eq!(meta.response_code, ResponseCode::NoError);
            assert_eq!(answer.answers[0].ttl, 30);
            // As it was asked, letter by letter: some clients check their own mixture of cases.
            assert_eq!(answer.queries[0].name().to_ascii().trim_end_matches('.'), name.trim_end_matches('.'));
        }
    }
    assert_eq!(records(&ask("cart.store", RecordType::A).0), ["A 240.240.0.9"]);
}

#[test]
fn what_a_name_does_not_have_is_no_data_with_an_soa() {
    for (name, kind) in [
        ("web", RecordType::AAAA),
        ("web.shop.svc.cluster.local", RecordType::AAAA),
        ("voting.shop", RecordType::MX),
        ("voting.shop.svc.cluster.local.", RecordType::TXT),
        ("voting", RecordType::HTTPS),
        ("exhausted", RecordType::A),
        ("shop.svc.cluster.local", RecordType::A),
        ("svc.cluster.local", RecordType::A),
        ("cluster.local", RecordType::A),
        ("7.0.240.240.in-addr.arpa", RecordType::A),
    ] {
        let (answer, outcome) = ask(name, kind);
        assert_eq!(
            (answer.metadata.response_code, outcome),
            (ResponseCode::NoError, Outcome::NoData),
            "{name}"
        );
        assert!(answer.answers.is_empty());
        let soa = &answer.authorities[0];
        assert_eq!((soa.record_type(), soa.ttl), (RecordType::SOA, 5), "{name}");
        assert!(soa.name.zone_of(answer.queries[0].name()), "{name}: {}", soa.name);
    }
}

#[test]
fn what_does_not_exist_is_said_of_our_own_domain_only() {
    for name in [
        "nobody.shop.svc.cluster.local",
        "voting.nowhere.svc.cluster.local",
        "nowhere.svc.cluster.local",
        "www.example.com.shop.svc.cluster.local",
        "x.voting.shop.svc.cluster.local",
        "x.cluster.local",
        "kubernetes.default.pod.cluster.local",
    ] {
        let (answer, outcome) = ask(name, RecordType::A);
        assert_eq!(
            (answer.metadata.response_code, outcome),
            (ResponseCode::NXDomain, Outcome::NxDomain),
            "{name}"
        );
        assert_eq!(answer.authorities[0].name.to_ascii(), "cluster.local.");
        assert!(answer.metadata.authoritative);
    }
    for name in [
        "example.com",
        "www.example.com.",
        ".",
        "com",
        "localhost",
        "nobody",
        "nobody.shop",
        "cart",
        "voting.shop.svc.x",
        "cluster.local.example.com",
        "xcluster.local",
        "voting.shop.svc.cluster",
        "1.2.3.4.in-addr.arpa",
    ] {
        assert_eq!(decided(&query(name, RecordType::A)), Decision::Forward(Limit(512)), "{name}");
    }
}

#[test]
fn while_names_are_on_their_way_nothing_is_said_not_to_exist() {
    let names = table(false);
    let outcome = |name: &str| match decide(&query(name, RecordType::A).to_vec().unwrap(), &names, &CLIENT) {
        Decision::Answer(bytes, outcome) => {
            (Message::from_vec(&bytes).unwrap().metadata.response_code, outcome)
        }
        other => panic!("{other:?}"),
    };
    for name in [
        "nobody",
        "nobody.shop",
        "nobody.shop.svc.cluster.local",
        "shop.x.svc.cluster.local",
        "x.cluster.local",
    ] {
        assert_eq!(outcome(name), (ResponseCode::ServFail, Outcome::Failed), "{name}");
    }
    assert_eq!(outcome("voting").1, Outcome::Answered);
}

#[test]
fn an_alias_leads_on() {
    assert_eq!(
        records(&ask("inner", RecordType::A).0),
        ["CNAME voting.shop.svc.cluster.local.", "A 240.240.0.7"]
    );
    assert_eq!(records(&ask("inner", RecordType::CNAME).0), ["CNAME voting.shop.svc.cluster.local."]);
    assert_eq!(ask("circle", RecordType::A).0.metadata.response_code, ResponseCode::ServFail);
    let (answer, outcome) = ask("inner", RecordType::MX);
    assert_eq!((records(&answer).len(), outcome), (1, Outcome::NoData));
    let Decision::Alias(alias) = decided(&query("outer", RecordType::A)) else { panic!() };
    assert_eq!((alias.target.to_ascii().as_str(), alias.kind), ("www.example.com.", RecordType::A));
    assert_eq!(records(&alias.answer), ["CNAME www.example.com."]);
}

#[test]
fn a_virtual_address_has_a_name() {
    let v6 = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa";
    for name in ["7.0.240.240.in-addr.arpa", v6] {
        assert_eq!(records(&ask(name, RecordType::PTR).0), ["PTR voting.shop.svc.cluster.local."], "{name}");
    }
    for name in ["6.0.240.240.in-addr.arpa", "256.0.240.240.in-addr.arpa", "0.240.240.in-addr.arpa", &v6[2..]]
    {
        assert_eq!(decided(&query(name, RecordType::PTR)), Decision::Forward(Limit(512)), "{name}");
    }
}

#[test]
fn nobody_gets_everything() {
    for name in ["voting", "example.com", "7.0.240.240.in-addr.arpa"] {
        let (answer, _) = ask(name, RecordType::ANY);
        assert_eq!(records(&answer), ["HINFO RFC8482"], "{name}");
    }
    assert_eq!(ask("nobody.shop.svc.cluster.local", RecordType::ANY).1, Outcome::NxDomain);
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        for name in ["cluster.local", "example.com"] {
            assert_eq!(ask(name, kind).0.metadata.response_code, ResponseCode::Refused);
        }
    }
    let mut chaos = query("version.bind", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(answered(&chaos).0.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn sizes_are_the_clients_within_ours() {
    for (said, limit) in [(0, 512), (100, 512), (600, 600), (1232, 1232), (4096, 1232), (65535, 1232)] {
        assert_eq!(decided(&with_edns(query("x.y.z", RecordType::A), said)), Decision::Forward(Limit(limit)));
    }
    let by_tcp = Client { by_tcp: true, ..CLIENT };
    let packet = query("x.y.z", RecordType::A).to_vec().unwrap();
    assert_eq!(decide(&packet, &table(true), &by_tcp), Decision::Forward(Limit(65_535)));
    // An answer has EDNS if the question has, and only then.
    assert!(ask("voting", RecordType::A).0.edns.is_none());
    let answer = answered(&with_edns(query("voting", RecordType::A), 4096)).0;
    assert_eq!(answer.edns.unwrap().max_payload(), 1232);
    let mut newer = query("voting", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.set_edns(edns);
    let (answer, outcome) = answered(&newer);
    assert_eq!((u16::from(answer.metadata.response_code), outcome), (16, Outcome::Refused)); // BADVERS
}

#[test]
fn an_answer_that_is_too_large_is_cut_to_its_question() {
    let query = query("www.example.com", RecordType::TXT).to_vec().unwrap();
    let mut answer = query.clone();
    answer[2] |= 0x80;
    answer[7] = 4;
    answer.extend([7; 700]);
    assert_eq!(fit(answer.clone(), &query, Limit(1232)), answer);
    let cut = fit(answer, &query, Limit(512));
    let cut = Message::from_vec(&cut).unwrap();
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    assert_eq!(cut.queries[0].name().to_ascii(), "www.example.com.");
}

#[test]
fn what_is_no_question_gets_no_answer_or_a_short_one() {
    let good = query("voting", RecordType::A).to_vec().unwrap();
    let names = table(true);
    let decide = |packet: &[u8]| decide(packet, &names, &CLIENT);
    // An answer, which two resolvers could send each other for ever.
    let mut response = good.clone();
    response[2] |= 0x80;
    assert_eq!(decide(&response), Decision::Ignore);
    for length in 0..12 {
        assert_eq!(decide(&good[..length]), Decision::Ignore);
    }
    for length in 12..good.len() {
        let Decision::Answer(answer, Outcome::Malformed) = decide(&good[..length]) else {
            panic!("{length}")
        };
        assert_eq!((answer.len(), answer[3] & 0x0f, &answer[..2]), (12, 1, &good[..2]), "{length}");
    }
    // Numbers of questions, answers and so on that are not plausible, believed by nobody.
    for (at, count) in [(4, 0), (4, 2), (4, 0xffff), (6, 1), (8, 1), (10, 3), (10, 0xffff)] {
        let mut packet = good.clone();
        packet[at..at + 2].copy_from_slice(&u16::to_be_bytes(count));
        assert!(
            matches!(decide(&packet), Decision::Answer(answer, Outcome::Malformed) if answer.len() == 12)
        );
    }
    let mut update = query("voting", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    assert!(matches!(decide(&update.to_vec().unwrap()), Decision::Answer(answer, Outcome::Refused)
        if answer.len() == 12 && answer[3] & 0x0f == 4));
}

#[test]
fn names_that_point_in_circles_or_expand_are_refused_at_once() {
    let names = table(true);
    let head = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let circle = [&head[..], &[0xc0, 12, 0, 1, 0, 1]].concat();
    let forward = [&head[..], &[0xc0, 40, 0, 1, 0, 1]].concat();
    let two = [&head[..], &[0xc0, 14, 0xc0, 12, 0, 1, 0, 1]].concat();
    let reserved = [&head[..], &[0x80, 1, 0, 1, 0, 1]].concat();
    let endless = [&head[..], &[1, b'a'].repeat(2000)].concat();
    // 64 KiB of names that all point to the ones before them.
    let mut bomb = head.to_vec();
    bomb[10..12].copy_from_slice(&u16::MAX.to_be_bytes());
    bomb.extend([63; 64].iter().chain(&[0, 0, 1, 0, 1]));
    while bomb.len() < 65_000 {
        let back = ((bomb.len() - 12).min(0x3fff) as u16 | 0xc000).to_be_bytes();
        bomb.extend([1, b'x', back[0], back[1], 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    for packet in [circle, forward, two, reserved, endless, bomb] {
        let decision = decide(&packet, &names, &CLIENT);
        assert!(
            matches!(&decision, Decision::Answer(answer, Outcome::Malformed) if answer.len() == 12),
            "{decision:?}"
        );
    }
    let long = [&head[..], &[0; MAX_QUERY]].concat();
    assert!(matches!(decide(&long, &names, &CLIENT), Decision::Answer(_, Outcome::Malformed)));
}

#[test]
fn the_hosts_resolvers() {
    let text = "# nameserver 9.9.9.9\nsearch a b\nnameserver 10.0.0.1\nnameserver\tfd00::1 # x\nnameserver nonsense\n\
        nameserver 10.0.0.1\noptions ndots:5\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
    let servers: Vec<String> = parse(text, 53).iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
    assert_eq!(parse("", 53), ["127.0.0.1:53".parse().unwrap()]);
}

#[test]
fn only_the_same_question_is_the_same() {
    let query_of = |name: &str, kind| query(name, kind).to_vec().unwrap();
    let asked = query_of("www.example.com", RecordType::A);
    assert!(same_question(&query_of("WWW.example.COM", RecordType::A), &asked));
    assert!(!same_question(&query_of("www.example.org", RecordType::A), &asked));
    assert!(!same_question(&query_of("www.example.com", RecordType::AAAA), &asked));
    assert!(!same_question(&asked[..12], &asked));
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-zA-Z0-9_-]{1,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..64),
        prop::sample::select(vec![
            "voting", "shop", "svc", "cluster", "local", "in-addr", "arpa", "ip6", "inner"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// No amplification: what we answer by ourselves fits what the client said, and is hardly more than the question.
    #[test]
    fn any_name_gets_a_sound_answer(
        labels in prop::collection::vec(label(), 0..8),
        kind in any::<u16>(),
        size in prop::option::of(any::<u16>()),
        flags in any::<u16>(),
    ) {
        let Ok(name) = Name::from_labels(labels) else { return Ok(()) };
        let mut message = Message::query();
        message.add_query(Query::query(name, RecordType::from(kind)));
        if let Some(size) = size {
            message = with_edns(message, size);
        }
        let Ok(mut packet) = message.to_vec() else { return Ok(()) };
        packet[2..4].copy_from_slice(&(flags & 0x07ff).to_be_bytes());
        match decide(&packet, &table(true), &CLIENT) {
            Decision::Answer(answer, _) => {
                prop_assert!(answer.len() <= 1232 && answer.len() <= packet.len() + 128, "{}", answer.len());
                let read = Message::from_vec(&answer).unwrap();
                prop_assert_eq!(read.metadata.message_type, MessageType::Response);
                prop_assert_eq!(&answer[..2], &packet[..2]);
                if answer.len() > 12 {
                    prop_assert_eq!(question(&answer), question(&packet));
                }
            }
            Decision::Forward(limit) => prop_assert!(limit.0 <= 1232),
            Decision::Ignore | Decision::Alias(_) => {}
        }
    }

    #[test]
    fn noise_never_panics_and_never_grows(packet in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Decision::Answer(answer, _) = decide(&packet, &table(true), &CLIENT) {
            prop_assert!(answer.len() <= packet.len() + 128);
        }
        let _ = (failed(&packet), question(&packet));
    }

    #[test]
    fn damage_never_panics(at in any::<prop::sample::Index>(), bits in 1..=255_u8, kind in 1..70_u16) {
        let mut packet = with_edns(query("voting.shop.svc.cluster.local", RecordType::from(kind)), 1232).to_vec().unwrap();
        let at = at.index(packet.len());
        packet[at] ^= bits;
        let _ = decide(&packet, &table(true), &CLIENT);
    }
}
