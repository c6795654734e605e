//! Certificates, endpoints and processes come and go; connections that are open go on.

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::{AppProtocol, Dialect, HostPattern, ListenerProtocol, TrafficSettings};
use byrnie_telemetry::{Direction, Labels};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::mesh::{Pair, application, call, counted, echo, endpoint, listen, meshed, run, until, web};
use crate::config::{Config, Destination, Listener, TcpRoute, Turns};
use crate::connection;
use crate::detect::Prefixed;
use crate::front::{Entrance, Front};
use crate::tcp::observe::Meter;
use crate::tcp::{outbound, relay};

async fn say(stream: &mut TcpStream) {
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

async fn served(pair: &Pair) -> TcpStream {
    let mut stream = pair.connect().await;
    say(&mut stream).await;
    stream
}

#[test]
fn a_hundred_streams_fill_a_connection_and_one_more_opens_another() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let opening = (0..101).map(|_| served(&pair));
        let streams = futures_util::future::join_all(opening).await;
        assert_eq!(pair.client.process.counters.upstream.get(), 2);
        drop(streams);
    });
}

#[test]
fn a_new_certificate_means_a_new_connection_and_ends_no_old_one() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let upstream = &pair.client.process.counters.upstream;
        let mut old = served(&pair).await;
        pair.mesh.certify(&pair.client.process, "front");
        let mut new = served(&pair).await;
        assert_eq!(upstream.get(), 2);
        say(&mut old).await;
        drop(old);
        until("the old one closes when its streams are done", || upstream.get() == 1).await;
        say(&mut new).await;
    });
}

#[test]
fn an_endpoint_that_goes_takes_its_connection_along_when_its_streams_are_done() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let upstream = &pair.client.process.counters.upstream;
        let mut old = served(&pair).await;
        let again = meshed(pair.endpoint.plan.address, "web", Dialect::Byrnie);
        call(&pair.client, AppProtocol::Tcp, TrafficSettings::default(), vec![again]);
        pair.endpoint.leave();
        let _new = served(&pair).await;
        assert_eq!(upstream.get(), 2);
        say(&mut old).await;
        drop(old);
        until("the connection to what is gone closes", || upstream.get() == 1).await;
    });
}

#[test]
fn a_peer_that_was_restarted_costs_nobody_a_connection() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let mut old = served(&pair).await;
        pair.server.process.closing.cancel();
        assert_eq!(old.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        // The next one may find the dead connection in the pool: it must not show.
        let again = pair.mesh.proxy("web");
        super::mesh::Accepts::new(application(echo).await).put_in_force(&again);
        let proxy = listen(&again, Entrance::Mesh).await;
        call(
            &pair.client,
            AppProtocol::Tcp,
            TrafficSettings::default(),
            vec![meshed(proxy, "web", Dialect::Byrnie)],
        );
        served(&pair).await;
    });
}

#[test]
fn a_peer_that_hangs_gets_nothing_new_and_its_streams_are_reset() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let settings =
            TrafficSettings { connect_timeout: Duration::from_millis(300), ..TrafficSettings::default() };
        // In front of the proxy, something that can stop moving without closing anything.
        let moving = Rc::new(tokio::sync::watch::channel(true).0);
        let (behind, stop) = (pair.endpoint.plan.address, Rc::clone(&moving));
        let front = application(move |mut near: TcpStream| {
            let mut stop = stop.subscribe();
            async move {
                let mut far = TcpStream::connect(behind).await.unwrap();
                loop {
                    let moves = *stop.borrow_and_update();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far), if moves => return,
                        _ = stop.changed() => {}
                    }
                }
            }
        });
        let endpoint = meshed(front.await, "web", Dialect::Byrnie);
        call(&pair.client, AppProtocol::Tcp, settings, vec![endpoint]);
        let mut old = served(&pair).await;
        let opened = pair.client.process.counters.upstream.get();
        moving.send_replace(false);
        let mut refused = pair.connect().await;
        assert_eq!(refused.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        moving.send_replace(true);
        // It only slept: what is new may have taken another connection, what is old goes on.
        served(&pair).await;
        say(&mut old).await;
        moving.send_replace(false);
        // Somebody who waits in vain has it looked into at once.
        let mut refused = pair.connect().await;
        assert_eq!(refused.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let ended = old.read(&mut [0]).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
        until("the dead are gone", || pair.client.process.counters.upstream.get() < opened).await;
    });
}

#[test]
fn draining_ends_nothing_that_is_open_and_closing_cuts_it() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let mut open = served(&pair).await;
        pair.server.process.draining.cancel();
        say(&mut open).await;
        pair.client.process.draining.cancel();
        say(&mut open).await;
        for process in [&pair.server.process, &pair.client.process] {
            process.parting.cancel();
            say(&mut open).await;
            drop(served(&pair).await);
        }
        pair.client.process.closing.cancel();
        let ended = open.read(&mut [0]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    });
}

#[test]
fn a_gateway_chooses_by_the_name_that_tls_asks_for() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let served_by = async |word: &'static [u8]| {
            application(move |mut stream: TcpStream| async move {
                let _ = stream.write_all(word).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            })
            .await
        };
        let mut tcp = Vec::new();
        for (pattern, word) in [
            (HostPattern::Wildcard("shop.example".to_owned()), b"wild"),
            (HostPattern::Exact("web.shop.example".to_owned()), b"mine"),
        ] {
            let plain = endpoint(served_by(word).await, byrnie_plan::Hop::Plaintext);
            let Destination { cluster, .. } =
                &*call(&pair.client, AppProtocol::Tls, TrafficSettings::default(), vec![plain]);
            let backends = vec![Ok(Arc::clone(cluster))];
            tcp.push((
                pattern,
                Arc::new(TcpRoute { name: None, choice: Turns::new([1]), backends, controls: None }),
            ));
        }
        let protocol = ListenerProtocol::TlsPassthrough;
        let mut nowhere = |_: &byrnie_plan::BackendTarget, _| Err(byrnie_plan::InvalidBackend::NotFound);
        let (none, known) = (byrnie_plan::HttpTable::default(), crate::config::KnownLimits::default());
        let http = Arc::new(crate::config::HttpRoutes::compile(&none, &mut nowhere, &known).unwrap());
        let listener = Arc::new(Listener {
            name: "tls".to_owned(),
            port: 8443,
            protocol,
            http,
            tcp,
            settings: Arc::default(),
        });
        let config = Config { listeners: [(8443, listener)].into_iter().collect(), ..Config::default() };
        pair.client.process.config.store(Arc::new(config));
        let address = listen(&pair.client, Entrance::Gateway(8443)).await;
        let _ = counted(&pair.client);
        for (name, word) in [("web.shop.example", b"mine"), ("other.shop.example", b"wild")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&hello(name)).await.unwrap();
            let mut heard = [0; 4];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, word, "{name}");
        }
        for words in [hello("web.shop.test"), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&words).await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        let errors: Vec<_> = counted(&pair.client).into_iter().map(|delta| delta.outcome.error).collect();
        assert!(
            errors.contains(&"BYR0201".to_owned()) && errors.contains(&"BYR0200".to_owned()),
            "{errors:?}"
        );
        assert_eq!(web().port, 80);
    });
}

pub(super) fn hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// What an idle connection costs a proxy: its task and what that has boxed, one socket or two, a stream of h2 (about
/// 600 bytes), and no buffer (see `Waiting` and `SPACE`). Measured over 900 connections: 9.8 KiB for both proxies, the
/// client and the application together (debug build, glibc's allocator, all in one process).
#[test]
fn an_idle_connection_is_small() {
    run(async {
        let pair = Pair::new(application(echo).await).await;
        let stream = pair.connect().await;
        let remote = stream.local_addr().unwrap();
        let front = Front::new(Entrance::Upstream(web()), None, remote);
        let served = connection::serve(&pair.client, stream, remote, Entrance::Upstream(web()));
        assert!(size_of_val(&served) <= 640, "the task of a connection: {}", size_of_val(&served));
        let (stream, target) = (Prefixed::new(pair.connect().await), front.target(&pair.client).unwrap());
        let served = outbound::serve(&pair.client, &front, stream, target);
        assert!(size_of_val(&served) <= 1024, "of bytes: {}", size_of_val(&served));
        let (mut ours, mut theirs) = (pair.connect().await, pair.connect().await);
        let meter = Meter::open(&pair.client, &Labels::new(Direction::Outbound), None);
        let relay = relay::sockets(&mut ours, &mut theirs, &meter);
        assert!(size_of_val(&relay) <= 1024, "of a relay: {}", size_of_val(&relay));
    });
}
