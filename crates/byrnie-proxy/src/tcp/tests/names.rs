//! Connections to a Service that go where the name in their TLS says.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use byrnie_plan::{AppProtocol, Hop, HostPattern, TrafficSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::lifecycle::hello;
use super::mesh::{Mesh, application, call, endpoint, listen, run, web};
use crate::config::{Config, Destination, TcpRoute, TcpRoutes, Turns};
use crate::front::Entrance;
use crate::worker::Worker;

async fn saying(word: &'static [u8]) -> SocketAddr {
    application(move |mut stream: TcpStream| async move {
        let _ = stream.write_all(word).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

/// The Service `web`, whose own endpoint says `self`, with routes by name.
async fn obey(worker: &Worker, protocol: AppProtocol, by_name: &[(HostPattern, &'static [u8])]) {
    let mut tcp = TcpRoutes::new();
    for (pattern, word) in by_name {
        let plain = endpoint(saying(word).await, Hop::Plaintext);
        let to = call(worker, AppProtocol::Tls, TrafficSettings::default(), vec![plain]);
        let backends = vec![Ok(Arc::clone(&to.cluster))];
        let route = TcpRoute { name: None, choice: Turns::new([1]), backends, controls: None };
        tcp.push((pattern.clone(), Arc::new(route)));
    }
    let own = endpoint(saying(b"self").await, Hop::Plaintext);
    let service = call(worker, protocol, TrafficSettings::default(), vec![own]);
    let service = Destination {
        name: web(),
        protocol,
        http: None,
        tcp,
        cluster: Arc::clone(&service.cluster),
        overrides: Vec::new(),
        settings: Arc::default(),
    };
    let destinations = [(web(), Arc::new(service))].into_iter().collect();
    worker.process.config.store(Arc::new(Config { destinations, ..Config::default() }));
}

/// What a client hears that says this first; `None`: it was reset.
async fn heard(address: SocketAddr, words: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(words).await.unwrap();
    let mut heard = [0; 4];
    match stream.read_exact(&mut heard).await {
        Ok(_) => Some(heard.to_vec()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            None
        }
    }
}

#[test]
fn the_name_in_tls_leads_to_its_route_and_no_other_name_anywhere() {
    run(async {
        let worker = Mesh::new().proxy("front");
        let routes: &[(HostPattern, &'static [u8])] = &[
            (HostPattern::Wildcard("shop.example".to_owned()), b"wild"),
            (HostPattern::Exact("web.shop.example".to_owned()), b"mine"),
        ];
        for protocol in [AppProtocol::Tls, AppProtocol::Detect] {
            obey(&worker, protocol, routes).await;
            let address = listen(&worker, Entrance::Upstream(web())).await;
            for (name, word) in [
                ("web.shop.example", Some(b"mine")),
                ("other.shop.example", Some(b"wild")),
                ("shop.example", None),
            ] {
                let wanted = word.map(|word| word.to_vec());
                assert_eq!(heard(address, &hello(name)).await, wanted, "{name} {protocol:?}");
            }
        }
        // Routes for every name need no name: a server that speaks first is heard.
        let any: &[(HostPattern, &'static [u8])] = &[(HostPattern::Any, b"anyo")];
        obey(&worker, AppProtocol::Tcp, any).await;
        let address = listen(&worker, Entrance::Upstream(web())).await;
        assert_eq!(heard(address, b"").await.as_deref(), Some(&b"anyo"[..]));
    });
}
