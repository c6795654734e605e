//! The resolver over sockets, with a resolver of the rest of the world that the test plays.

use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket as StdUdp};
use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::{DnsSettings, MeshSettings};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, TXT};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::super::Sockets;
use super::super::serve::Resolver;
use super::*;
use crate::config::Config;
use crate::tcp::tests::mesh::{Mesh, run};
use crate::worker::Worker;

const PATIENCE: Duration = Duration::from_secs(20);

/// A resolver that runs, and who it asks.
struct Running {
    worker: std::rc::Rc<Worker>,
    udp: SocketAddr,
    tcp: SocketAddr,
    _dir: TempDir,
}

impl Running {
    /// `others`: one resolver of the rest of the world, at this port of 127.0.0.1.
    fn start(others: u16, dns: DnsSettings) -> Self {
        let worker = Mesh::new().proxy("bot");
        let settings = MeshSettings { dns, ..MeshSettings::default() };
        let config = Config { names: table(true), settings: Arc::new(settings), ..Config::default() };
        worker.process.config.store(Arc::new(config));
        let dir = tempfile::tempdir().unwrap();
        let resolv_conf = dir.path().join("resolv.conf");
        std::fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
        let udp = StdUdp::bind("127.0.0.1:0").unwrap();
        let tcp = StdListener::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (at_udp, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let sockets = Sockets { udp: vec![udp], tcp: vec![tcp] };
        // Who listens where the test says that the others are, is asked: also we ourselves.
        let port = if others == 0 { at_udp.port() } else { others };
        let resolver = Resolver::new(Arc::clone(&worker.process), resolv_conf, port, &Sockets::default());
        tokio::task::spawn_local(async move { resolver.serve(sockets).await });
        Self { worker, udp: at_udp, tcp: at_tcp, _dir: dir }
    }

    async fn udp(&self, packet: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(packet, self.udp).await.unwrap();
        let mut answer = vec![0; 65_536];
        let (length, from) =
            timeout(PATIENCE, socket.recv_from(&mut answer)).await.expect("no answer").unwrap();
        assert_eq!(from, self.udp);
        answer.truncate(length);
        answer
    }

    async fn ask(&self, query: &Message) -> Message {
        let answer = Message::from_vec(&self.udp(&query.to_vec().unwrap()).await).unwrap();
        assert_eq!(answer.metadata.id, query.metadata.id);
        answer
    }

    fn count(&self, series: &str) -> f64 {
        let text = self.worker.process.metrics.render(std::time::Instant::now());
        let line = text.lines().find(|line| line.starts_with(series));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// Plays the rest of the world at one port, by UDP and TCP, as `answer` says; `None` is silence.
async fn others(answer: impl Fn(&Message, bool) -> Option<Message> + Clone + 'static) -> u16 {
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (tcp, udp);
        }
    };
    let port = tcp.local_addr().unwrap().port();
    let by_udp = answer.clone();
    tokio::task::spawn_local(async move {
        let mut packet = vec![0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut packet).await {
            if let Some(answer) = by_udp(&Message::from_vec(&packet[..length]).unwrap(), false) {
                udp.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
            }
        }
    });
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut query = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut query).await.unwrap();
            let answer = answer(&Message::from_vec(&query).unwrap(), true).unwrap().to_vec().unwrap();
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    port
}

fn reply(query: &Message, data: RData) -> Message {
    let mut answer = query.clone().into_response();
    answer.add_answer(Record::from_rdata(query.queries[0].name().clone(), 60, data));
    answer
}

fn nine(query: &Message, _: bool) -> Option<Message> {
    Some(reply(query, RData::A(A::new(9, 9, 9, 9))))
}

/// Large by TCP, cut by UDP.
fn large(query: &Message, by_tcp: bool) -> Option<Message> {
    let mut answer = query.clone().into_response();
    answer.metadata.truncation = !by_tcp;
    for _ in 0..if by_tcp { 20 } else { 0 } {
        let text = RData::TXT(TXT::new(vec!["x".repeat(200)]));
        answer.add_answer(Record::from_rdata(query.queries[0].name().clone(), 60, text));
    }
    Some(answer)
}

async fn by_tcp(stream: &mut TcpStream, query: &Message) -> Message {
    let bytes = query.to_vec().unwrap();
    stream.write_all(&[&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

#[test]
fn services_are_answered_and_the_rest_is_asked_of_others() {
    run(async {
        let resolver = Running::start(others(nine).await, DnsSettings::default());
        assert_eq!(records(&resolver.ask(&query("voting.shop", RecordType::A)).await), ["A 240.240.0.7"]);
        assert_eq!(records(&resolver.ask(&query("www.example.com", RecordType::A)).await), ["A 9.9.9.9"]);
        let alias = resolver.ask(&query("outer", RecordType::A)).await;
        assert_eq!(records(&alias), ["CNAME www.example.com.", "A 9.9.9.9"]);
        assert!(!alias.metadata.authoritative);
        let mut stream = TcpStream::connect(resolver.tcp).await.unwrap();
        for _ in 0..3 {
            assert_eq!(
                records(&by_tcp(&mut stream, &query("cart.store", RecordType::A)).await),
                ["A 240.240.0.9"]
            );
            assert_eq!(
                records(&by_tcp(&mut stream, &query("x.example.com", RecordType::A)).await),
                ["A 9.9.9.9"]
            );
        }
        assert_eq!(resolver.count("byrnie_dns_queries_total{result=\"answered\"}"), 4.0);
        assert_eq!(resolver.count("byrnie_dns_queries_total{result=\"forwarded\"}"), 5.0);
    });
}

#[test]
fn what_is_cut_by_udp_comes_whole_by_tcp() {
    run(async {
        let resolver = Running::start(others(large).await, DnsSettings::default());
        let question = with_edns(query("large.example.com", RecordType::TXT), 4096);
        let cut = resolver.ask(&question).await;
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        let mut stream = TcpStream::connect(resolver.tcp).await.unwrap();
        assert_eq!(by_tcp(&mut stream, &question).await.answers.len(), 20);
    });
}

#[test]
fn an_answer_that_is_larger_than_the_client_takes_is_cut() {
    run(async {
        // A resolver that does not keep to what it was told.
        let port = others(|query, _| large(query, true)).await;
        let resolver = Running::start(port, DnsSettings::default());
        let packet = query("large.example.com", RecordType::TXT).to_vec().unwrap();
        let answer = resolver.udp(&packet).await;
        assert!(answer.len() <= 512);
        assert!(Message::from_vec(&answer).unwrap().metadata.truncation);
    });
}

#[test]
fn forged_answers_are_not_passed_on() {
    run(async {
        let forge = |query: &Message, _| {
            let mut answer = reply(query, RData::A(A::new(6, 6, 6, 6)));
            match query.queries[0].name().to_ascii().as_str() {
                "number.example.com." => answer.metadata.id = answer.metadata.id.wrapping_add(1),
                _ => {
                    answer.queries[0] =
                        Query::query(Name::from_ascii("other.example.com.").unwrap(), RecordType::A)
                }
            }
            Some(answer)
        };
        let dns = DnsSettings { timeout: Duration::from_millis(300), ..DnsSettings::default() };
        let resolver = Running::start(others(forge).await, dns);
        for name in ["number.example.com", "name.example.com"] {
            let answer = resolver.ask(&query(name, RecordType::A)).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "{name}");
        }
        assert_eq!(resolver.count("byrnie_dns_queries_total{result=\"failed\"}"), 2.0);
    });
}

#[test]
fn silent_resolvers_hold_up_nobody_else_and_no_more_than_allowed() {
    run(async {
        let dns = DnsSettings { timeout: Duration::from_secs(2), max_queries: 3, ..DnsSettings::default() };
        let resolver = Running::start(others(|_, _| None).await, dns);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..5 {
            let packet = query("slow.example.com", RecordType::A).to_vec().unwrap();
            socket.send_to(&packet, resolver.udp).await.unwrap();
        }
        assert_eq!(records(&resolver.ask(&query("voting", RecordType::A)).await), ["A 240.240.0.7"]);
        let mut answer = [0; 512];
        for _ in 0..5 {
            let length = timeout(PATIENCE, socket.recv(&mut answer)).await.unwrap().unwrap();
            let answer = Message::from_vec(&answer[..length]).unwrap();
            assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        }
        assert_eq!(resolver.count("byrnie_limit_rejections_total{limit=\"dns_queries\"}"), 2.0);
    });
}

#[test]
fn a_resolver_that_is_ourselves_is_noticed() {
    run(async {
        let resolver = Running::start(0, DnsSettings::default());
        let answer = resolver.ask(&query("www.example.com", RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(resolver.count("byrnie_dns_queries_total{result=\"looped\"}"), 1.0);
        // It is not asked again.
        resolver.ask(&query("example.org", RecordType::A)).await;
        assert_eq!(resolver.count("byrnie_dns_queries_total{result=\"looped\"}"), 1.0);
    });
}

#[test]
fn garbage_harms_nobody() {
    run(async {
        let resolver = Running::start(others(nine).await, DnsSettings::default());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut response = query("voting", RecordType::A).to_vec().unwrap();
        response[2] |= 0x80;
        for packet in [&[][..], &[0; 3], &[0xff; 12], &[0; 9000], &[0xc0; 60_000], &response] {
            socket.send_to(packet, resolver.udp).await.unwrap();
        }
        // A slow one, a large one, one that says nothing at all, one that leaves.
        let mut slow = TcpStream::connect(resolver.tcp).await.unwrap();
        slow.write_all(&[0, 40, 1]).await.unwrap();
        let _silent = TcpStream::connect(resolver.tcp).await.unwrap();
        let mut large = TcpStream::connect(resolver.tcp).await.unwrap();
        large.write_all(&[0xff, 0xff, 1]).await.unwrap();
        assert_eq!(timeout(PATIENCE, large.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0, "closed");
        drop(TcpStream::connect(resolver.tcp).await.unwrap());
        assert_eq!(records(&resolver.ask(&query("voting", RecordType::A)).await), ["A 240.240.0.7"]);
        let mut stream = TcpStream::connect(resolver.tcp).await.unwrap();
        assert_eq!(records(&by_tcp(&mut stream, &query("voting", RecordType::A)).await), ["A 240.240.0.7"]);
        assert!(resolver.count("byrnie_dns_queries_total{result=\"ignored\"}") >= 4.0);
        assert!(resolver.count("byrnie_dns_queries_total{result=\"malformed\"}") >= 2.0);
    });
}

#[test]
fn connections_are_bounded() {
    run(async {
        let resolver = Running::start(others(nine).await, DnsSettings::default());
        let mut open = Vec::new();
        for _ in 0..64 {
            let mut stream = TcpStream::connect(resolver.tcp).await.unwrap();
            by_tcp(&mut stream, &query("voting", RecordType::A)).await;
            open.push(stream);
        }
        let mut beyond = TcpStream::connect(resolver.tcp).await.unwrap();
        assert_eq!(timeout(PATIENCE, beyond.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0, "closed");
        assert_eq!(resolver.count("byrnie_limit_rejections_total{limit=\"dns_connections\"}"), 1.0);
        assert_eq!(records(&resolver.ask(&query("voting", RecordType::A)).await), ["A 240.240.0.7"]);
    });
}
