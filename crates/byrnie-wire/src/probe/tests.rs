use std::sync::Arc;

use tokio::net::TcpListener;

use super::*;

fn check(address: SocketAddr, protocol: HealthProtocol) -> HealthCheck {
    HealthCheck {
        address,
        protocol,
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        healthy_threshold: 1,
        unhealthy_threshold: 3,
        jitter_percent: 10,
    }
}

fn get(path: &str) -> HealthProtocol {
    HealthProtocol::Http { path: path.to_owned(), host: String::new() }
}

/// Answers every connection with these bytes, after it has read something; keeps what it read.
async fn answering(answer: &'static [u8]) -> (SocketAddr, Arc<parking_lot::Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let read = Arc::new(parking_lot::Mutex::new(String::new()));
    let seen = Arc::clone(&read);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap_or(0);
            *seen.lock() = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let _ = stream.write_all(answer).await;
        }
    });
    (address, read)
}

#[tokio::test]
async fn http_is_judged_by_its_status() {
    for (answer, good) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], true),
        (b"HTTP/1.0 204 No Content\r\n\r\n", true),
        (b"HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n", true),
        (b"HTTP/1.1 400\r\n\r\n", false),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
        (b"HTTP/1.1 2000 OK\r\n\r\n", false),
        (b"SSH-2.0-x\r\n", false),
        (b"", false),
    ] {
        let (address, seen) = answering(answer).await;
        let answered = ask(&check(address, get("/healthz?full"))).await;
        assert_eq!(answered.is_ok(), good, "{answered:?}");
        let seen = seen.lock().clone();
        assert!(seen.starts_with("GET /healthz?full HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("\r\nHost: {address}\r\n")), "{seen}");
    }
    let (address, seen) = answering(b"HTTP/1.1 503 x\r\n\r\n").await;
    let named = HealthProtocol::Http { path: "/".to_owned(), host: "web.example".to_owned() };
    assert_eq!(ask(&check(address, named)).await, Err(format!("GET http://{address}/: status 503")));
    assert!(seen.lock().contains("\r\nHost: web.example\r\n"));
}

#[tokio::test]
async fn tcp_is_judged_by_the_connection_and_silence_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(ask(&check(address, HealthProtocol::Tcp)).await, Ok(()));
    let silent = HealthCheck { timeout: Duration::from_millis(50), ..check(address, get("/")) };
    let why = ask(&silent).await.unwrap_err();
    assert!(why.ends_with("no answer within 0.05 s"), "{why}");
    drop(listener);
    assert!(ask(&check(address, HealthProtocol::Tcp)).await.is_err());
}

/// A gRPC health server that answers with this message and status.
async fn grpc_server(message: &'static [u8], status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut reply))) = server.accept().await {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let mut frame = vec![0, 0, 0, 0, message.len() as u8];
                    frame.extend_from_slice(message);
                    let head = http::Response::builder().header("content-type", "application/grpc");
                    let mut body = reply.send_response(head.body(()).unwrap(), false).unwrap();
                    body.send_data(frame.into(), false).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", status.parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn grpc_is_judged_by_serving() {
    let is_good = async |message, status| {
        let service = "shop.Cart".to_owned();
        ask(&check(grpc_server(message, status).await, HealthProtocol::Grpc { service })).await
    };
    assert_eq!(is_good(&[8, 1], "0").await, Ok(()));
    assert!(is_good(&[8, 2], "0").await.unwrap_err().ends_with("it does not serve"));
    assert!(is_good(&[], "0").await.unwrap_err().ends_with("it does not serve"));
    assert!(is_good(&[], "5").await.unwrap_err().ends_with("gRPC status 5"));
    let (address, _) = answering(b"HTTP/1.1 200 OK\r\n\r\n").await;
    assert!(ask(&check(address, HealthProtocol::Grpc { service: String::new() })).await.is_err());
    assert_eq!(message("abc")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'b', b'c']);
    assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
}
