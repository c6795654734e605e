//! How many connections the proxies' port has at once, and how long those that prove nothing.

use std::net::SocketAddr;

use byrnie_identity::{ExpectedPeer, bootstrap_client_config, bundle_from_pem, unused_server_name};
use byrnie_plan::WorkloadIdentity;
use tokio::io::AsyncReadExt;

use super::*;
use crate::authority::{Authority, SERVICE_ACCOUNT, TRUST_BUNDLE_FILE};

/// Nothing in these tests takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port, and how one connects to it without a certificate.
struct Port {
    address: SocketAddr,
    client: Arc<rustls::ClientConfig>,
    done: mpsc::Receiver<io::Result<Connection>>,
    _dir: tempfile::TempDir,
}

impl Port {
    async fn open(places: &Places) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), "cluster.local", Duration::from_secs(3600)).unwrap();
        let bundle = bundle_from_pem(&std::fs::read(dir.path().join(TRUST_BUNDLE_FILE)).unwrap()).unwrap();
        let expected = ExpectedPeer::from(&WorkloadIdentity {
            trust_domain: "cluster.local".to_owned(),
            namespace: byrnie_plan::SYSTEM_NAMESPACE.to_owned(),
            service_account: SERVICE_ACCOUNT.to_owned(),
        });
        let client = bootstrap_client_config(&bundle, expected, &[b"h2"]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, done) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(listener, Arc::new(move || authority.tls()), sender, places.clone()));
        Self { address, client, done, _dir: dir }
    }

    /// Says nothing.
    async fn silent(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Shakes hands in the background, for as long as it takes. Keeps the connection until it is aborted.
    fn client(&self) -> tokio::task::JoinHandle<()> {
        let (address, config) = (self.address, Arc::clone(&self.client));
        tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(config);
            let _open = connector.connect(unused_server_name(), stream).await.unwrap();
            std::future::pending().await
        })
    }

    async fn next(&mut self) -> Connection {
        let next = tokio::time::timeout(PATIENCE, self.done.recv()).await;
        next.expect("nobody came").unwrap().unwrap()
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let all = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "never: {what}");
}

#[tokio::test]
async fn handshakes_beyond_the_limit_wait_until_one_ends() {
    // None is given up meanwhile, however slow this machine is.
    let places = Places { time: PATIENCE, ..Places::new(CONNECTIONS) };
    let mut port = Port::open(&places).await;
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(port.silent().await);
    }
    until("all places are taken", || places.handshakes.available_permits() == 0).await;
    // One more is held by whoever waits for a handshake's place.
    until("they count as connections", || places.connections.available_permits() == 20_000 - 257).await;
    let waits = port.client();
    silent.pop();
    assert!(port.next().await.peer.identity.is_none());
    waits.abort();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let places = Places::new(2);
    let mut port = Port::open(&places).await;
    let clients = [port.client(), port.client(), port.client()];
    let (first, _second) = (port.next().await, port.next().await);
    until("all places are taken", || places.connections.available_permits() == 0).await;
    assert!(port.done.try_recv().is_err(), "the third one waits");
    drop(first);
    port.next().await;
    clients.iter().for_each(tokio::task::JoinHandle::abort);
}

/// The clock stands still but where everything waits for it.
#[tokio::test]
async fn a_handshake_that_does_not_move_is_given_up() {
    let port = Port::open(&Places::new(CONNECTIONS)).await;
    let mut silent = port.silent().await;
    tokio::time::pause();
    let start = Instant::now();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "closed");
    let took = start.elapsed();
    assert!(took >= HANDSHAKE_TIMEOUT && took < HANDSHAKE_TIMEOUT * 2, "{took:?}");
}

#[tokio::test]
async fn who_proves_nothing_is_cut_off_in_time() {
    let mut port = Port::open(&Places::new(CONNECTIONS)).await;
    let client = port.client();
    let start = Instant::now();
    let mut unproven = port.next().await;
    tokio::time::pause();
    assert_eq!(unproven.read(&mut [0]).await.unwrap(), 0, "as if it had closed");
    // Whole connections, and what the handshake took by the real clock before.
    let took = start.elapsed();
    assert!(
        took >= UNPROVEN_LIFETIME + LAST_WORDS && took < UNPROVEN_LIFETIME + LAST_WORDS + PATIENCE,
        "{took:?}"
    );
    client.abort();
}
