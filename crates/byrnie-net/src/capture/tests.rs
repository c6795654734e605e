use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use super::confine::User;
use super::link::{Addresses, Switch};
use super::rules::{self, MARK, OUTBOUND, Rules};
use super::watch::{Seen, Watch};
use crate::netns::Namespace;
use crate::socket;

/// Each test has a network of its own, so that several run at once.
struct Ground {
    switch: Switch,
    net: u8,
}

impl Ground {
    /// `None`: this user may not make namespaces.
    fn new(net: u8) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            crate::testing::skip("network namespaces need root");
            return None;
        }
        let name = format!("bt{net}x{}", std::process::id() % 100_000);
        let switch = Switch::create(&name, addresses(net, 1)).unwrap();
        Some(Self { switch, net })
    }

    fn workload(&self, number: u8) -> Namespace {
        let namespace = Namespace::create().unwrap();
        self.switch.plug_in(&namespace, number.into(), &addresses(self.net, number)).unwrap();
        namespace
    }

    fn v4(&self, number: u8) -> IpAddr {
        addresses(self.net, number).v4.0.into()
    }

    fn v6(&self, number: u8) -> IpAddr {
        addresses(self.net, number).v6.unwrap().0.into()
    }
}

fn addresses(net: u8, number: u8) -> Addresses {
    let v6 = Ipv6Addr::new(0xfd62, 0x7972, 0x6e69, 0xff00 | u16::from(net), 0, 0, 0, number.into());
    Addresses { v4: (Ipv4Addr::new(10, 254, net, number), 24), v6: Some((v6, 64)) }
}

/// Accepts one connection and says where it was to go.
fn accept_one(namespace: &Namespace, address: SocketAddr) -> mpsc::Receiver<(SocketAddr, SocketAddr)> {
    let listener = namespace.run(|| TcpListener::bind(address)).unwrap();
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let original = socket::original_destination(&stream).unwrap();
            let peer = stream.peer_addr().unwrap();
            if told.send((original, peer)).is_err() {
                return;
            }
            let _ = stream.write_all(b"hello");
        }
    });
    heard
}

fn say_hello(namespace: &Namespace, to: SocketAddr) -> std::io::Result<String> {
    namespace.run(|| {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut text = String::new();
        Read::by_ref(&mut stream).take(5).read_to_string(&mut text)?;
        Ok(text)
    })
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn outbound_tcp_goes_to_the_proxy_and_keeps_its_destination() {
    let Some(ground) = Ground::new(11) else { return };
    let caller = ground.workload(2);
    Rules::default().apply(&caller).unwrap();
    for (proxy, to) in [("127.0.0.1:15001", "198.51.100.7:443"), ("[::1]:15001", "[2001:db8::7]:8443")] {
        let heard = accept_one(&caller, proxy.parse().unwrap());
        let to: SocketAddr = to.parse().unwrap();
        assert_eq!(say_hello(&caller, to).unwrap(), "hello");
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap().0, to);
    }
}

#[test]
fn inbound_tcp_goes_to_the_proxy_and_the_mesh_port_does_not() {
    let Some(ground) = Ground::new(12) else { return };
    let (caller, server) = (ground.workload(2), ground.workload(3));
    Rules { spared_inbound_ports: vec![9000], ..Rules::default() }.apply(&server).unwrap();
    let proxy = accept_one(&server, "0.0.0.0:15006".parse().unwrap());
    let mesh = accept_one(&server, SocketAddr::new(ground.v4(3), 15008));
    let spared = accept_one(&server, SocketAddr::new(ground.v4(3), 9000));
    for (to, heard) in [
        (SocketAddr::new(ground.v4(3), 8080), &proxy),
        (SocketAddr::new(ground.v4(3), 15008), &mesh),
        (SocketAddr::new(ground.v4(3), 9000), &spared),
    ] {
        assert_eq!(say_hello(&caller, to).unwrap(), "hello");
        let (original, peer) = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!((original, peer.ip()), (to, ground.v4(2)), "the caller's own address is seen");
    }
    // What the application itself says to its own address is its own affair.
    let own = accept_one(&server, SocketAddr::new(ground.v4(3), 7000));
    assert_eq!(say_hello(&server, SocketAddr::new(ground.v4(3), 7000)).unwrap(), "hello");
    own.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn inbound_by_ipv6_is_redirected_as_well() {
    let Some(ground) = Ground::new(13) else { return };
    let (caller, server) = (ground.workload(2), ground.workload(3));
    Rules::default().apply(&server).unwrap();
    let proxy = accept_one(&server, "[::]:15006".parse().unwrap());
    let to = SocketAddr::new(ground.v6(3), 8080);
    assert_eq!(say_hello(&caller, to).unwrap(), "hello");
    assert_eq!(proxy.recv_timeout(PATIENCE).unwrap().0, to);
}

#[test]
fn what_is_spared_and_what_the_proxy_sends_goes_its_own_way() {
    let Some(ground) = Ground::new(14) else { return };
    let (caller, server) = (ground.workload(2), ground.workload(3));
    let rules = Rules {
        spared_outbound_ports: vec![9001],
        spared_outbound_networks: vec![(ground.v4(3), 32)],
        ..Rules::default()
    };
    for (spared, port) in
        [(rules.clone(), 9001), (rules, 9002), (Rules { spared_users: vec![0], ..Rules::default() }, 9003)]
    {
        spared.apply(&caller).unwrap();
        let to = SocketAddr::new(ground.v4(3), port);
        let heard = accept_one(&server, to);
        assert_eq!(say_hello(&caller, to).unwrap(), "hello", "{port}");
        heard.recv_timeout(PATIENCE).unwrap();
    }
    Rules::default().apply(&caller).unwrap();
    let to = SocketAddr::new(ground.v4(3), 9004);
    let heard = accept_one(&server, to);
    assert!(say_hello(&caller, to).is_err(), "nobody listens at the outbound port");
    let marked = caller.run(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket::set_mark(&socket, MARK)?;
        socket.connect(&to.into())
    });
    marked.unwrap();
    heard.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn questions_for_names_go_to_the_resolver_whoever_is_asked() {
    let Some(ground) = Ground::new(15) else { return };
    let caller = ground.workload(2);
    Rules::default().apply(&caller).unwrap();
    let resolver = caller.run(|| UdpSocket::bind("127.0.0.1:15053")).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((length, from)) = resolver.recv_from(&mut question) {
            let _ = resolver.send_to(&question[..length], from);
        }
    });
    for server in ["192.0.2.53:53", "127.0.0.53:53"] {
        let server: SocketAddr = server.parse().unwrap();
        let answered = caller.run(|| {
            let asking = UdpSocket::bind("0.0.0.0:0")?;
            asking.set_read_timeout(Some(PATIENCE))?;
            asking.send_to(b"who", server)?;
            asking.recv_from(&mut [0; 8])
        });
        assert_eq!(answered.unwrap(), (3, server), "the answer comes from whom was asked");
    }
}

#[test]
fn other_tables_are_left_alone_and_ours_goes_without_a_trace() {
    let Some(ground) = Ground::new(16) else { return };
    let caller = ground.workload(2);
    let other = "table ip filter {\nchain keep {\ncounter\n}\n}\n";
    super::tool::nft(&caller, other).unwrap();
    let before = super::tool::nft_says(&caller, &["list", "ruleset"]).unwrap();
    Rules::default().apply(&caller).unwrap();
    Rules::default().apply(&caller).unwrap();
    assert!(rules::in_force(&caller).unwrap().is_some());
    rules::remove(&caller).unwrap();
    rules::remove(&caller).unwrap();
    assert_eq!(rules::in_force(&caller).unwrap(), None);
    assert_eq!(super::tool::nft_says(&caller, &["list", "ruleset"]).unwrap(), before);
    let broken = super::tool::nft(&caller, "table inet byrnie {}\nnonsense\n");
    assert!(broken.is_err());
    assert_eq!(rules::in_force(&caller).unwrap(), None, "all or nothing");
}

#[test]
fn rules_that_somebody_flushes_come_back() {
    let Some(ground) = Ground::new(17) else { return };
    let caller = ground.workload(2);
    let (watch, restored) = Watch::begin(&caller, Rules::default()).unwrap();
    assert!(restored, "there were none");
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || watch.run(|seen| told.send(seen).is_ok()));
    let proxy = accept_one(&caller, format!("127.0.0.1:{OUTBOUND}").parse().unwrap());
    for harm in ["flush ruleset", "delete table inet byrnie", "flush chain inet byrnie outbound"] {
        super::tool::nft(&caller, harm).unwrap();
        assert!(matches!(heard.recv_timeout(PATIENCE).unwrap(), Seen::Restored), "{harm}");
        let to = "198.51.100.7:80".parse().unwrap();
        assert_eq!(say_hello(&caller, to).unwrap(), "hello", "{harm}");
        assert_eq!(proxy.recv_timeout(PATIENCE).unwrap().0, to);
    }
    // The way back of answers, too: the rule, the route, of each family.
    let harms: [&[&str]; 4] = [
        &["-4", "rule", "del", "fwmark", "0x53a"],
        &["-4", "route", "flush", "table", "1338"],
        &["-6", "rule", "del", "fwmark", "0x53a"],
        &["-6", "route", "flush", "table", "1338"],
    ];
    let shown = || {
        let say = |arguments: &[&str]| super::tool::ip_says(&caller, arguments).unwrap_or_default();
        ["-4", "-6"].map(|family| {
            let rules = say(&[family, "rule", "show"]).matches("fwmark 0x53a").count();
            (rules, say(&[family, "route", "show", "table", "1338"]).matches("dev lo").count())
        })
    };
    let whole = shown();
    assert_eq!(whole[0], (1, 1));
    for harm in harms {
        if harm[0] == "-6" && whole[1] == (0, 0) {
            continue;
        }
        super::tool::ip_says(&caller, harm).unwrap();
        assert!(matches!(heard.recv_timeout(PATIENCE).unwrap(), Seen::Restored), "{harm:?}");
        assert_eq!(shown(), whole, "{harm:?}");
    }
    // A change of somebody else's table is no harm.
    super::tool::nft(&caller, "add table ip other").unwrap();
    assert!(heard.try_recv().is_err());
}

#[test]
fn nothing_is_left_when_the_switch_is_gone() {
    let Some(ground) = Ground::new(18) else { return };
    let name = format!("bt18x{}", std::process::id() % 100_000);
    let _workload = ground.workload(2);
    let path = std::path::Path::new("/sys/class/net").join(name);
    assert!(path.exists());
    drop(ground);
    crate::testing::until("the host's interface goes with the switch", || !path.exists());
}

#[test]
fn users_survive_the_trip() {
    for user in [User { uid: 0, gid: 0, groups: vec![] }, User { uid: 1000, gid: 100, groups: vec![4, 27] }] {
        assert_eq!(User::parse(&user.text()), Some(user));
    }
    for bad in ["", "1", "1:2", "a:1:", "1:2:x"] {
        assert_eq!(User::parse(bad), None, "{bad}");
    }
}
