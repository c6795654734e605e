use std::sync::mpsc::channel as unbounded;

use byrnie_plan::RouteKind;
use parking_lot::Mutex;

use super::*;

fn entry<'a>() -> AccessEntry<'a> {
    let timestamp = jiff::Timestamp::from_millisecond(1_700_000_000_123).unwrap();
    AccessEntry::new(timestamp, Direction::Inbound, "HTTP/1.1")
}

fn text(entry: &AccessEntry<'_>, format: LogFormat) -> String {
    String::from_utf8(entry.format(format)).unwrap()
}

#[test]
fn a_full_line() {
    let (source, destination) = (ObjectName::new("store", "cart-1"), ObjectName::new("shop", "web-1"));
    let service = ObjectName::new("shop", "web");
    let route =
        RouteName { kind: RouteKind::Http, route: ObjectName::new("shop", "main"), rule: "0".to_owned() };
    let entry = AccessEntry {
        source_id: "spiffe://cluster.local/ns/store/sa/cart",
        source: Some(&source),
        destination: Some(&destination),
        service: Some(&service),
        route: Some(&route),
        peer_address: "127.0.0.1:5000",
        client_address: "10.0.0.7:4000",
        method: "GET",
        host: "web",
        path: "/admin",
        status: 403,
        flag: "BYR0210",
        detail: "policy \"shop/nobody\" refuses",
        policy: "shop/nobody",
        response_bytes: 12,
        duration: Duration::from_micros(1_500),
        request_id: "r-1",
        ..entry()
    };
    let json: serde_json::Value = serde_json::from_str(&text(&entry, LogFormat::Json)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "timestamp": "2023-11-14T22:13:20.123Z", "direction": "inbound", "protocol": "HTTP/1.1",
            "sourceId": "spiffe://cluster.local/ns/store/sa/cart", "source": "store/cart-1",
            "destination": "shop/web-1", "service": "shop/web", "route": "main/0",
            "peerAddress": "127.0.0.1:5000", "clientAddress": "10.0.0.7:4000", "method": "GET", "host": "web", "path": "/admin", "status": 403,
            "flag": "BYR0210", "detail": "policy \"shop/nobody\" refuses", "policy": "shop/nobody",
            "requestBytes": 0, "responseBytes": 12, "durationMs": 1.5, "tries": 1, "requestId": "r-1"
        })
    );
    assert_eq!(
        text(&entry, LogFormat::Text),
        "2023-11-14T22:13:20.123Z inbound HTTP/1.1 store/cart-1 -> shop/web-1 \"GET web/admin\" 403 1.500ms in=0 \
         out=12 tries=1 service=shop/web route=main/0 flag=BYR0210 policy=shop/nobody \
         src-id=spiffe://cluster.local/ns/store/sa/cart peer=127.0.0.1:5000 client=10.0.0.7:4000 request-id=r-1 \
         detail=\"policy \\\"shop/nobody\\\" refuses\"\n"
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let line = text(&entry(), LogFormat::Json);
    for absent in ["status", "path", "policy", "grpcStatus", "source", "requestId"] {
        assert!(!line.contains(absent), "{absent}: {line}");
    }
}

#[test]
fn nothing_from_outside_forges_a_line_or_moves_a_terminal() {
    let evil = "/a\r\n{\"status\":200}\u{1b}[2J\u{9b}31m\u{7f}\0\u{202e}\u{2028}\"\\";
    let entry =
        AccessEntry { method: evil, host: evil, path: evil, detail: evil, request_id: evil, ..entry() };
    for format in [LogFormat::Json, LogFormat::Text] {
        let line = text(&entry, format);
        assert_eq!(line.matches('\n').count(), 1);
        let line = line.trim_end_matches('\n');
        assert!(!line.chars().any(is_unsafe), "{line:?}");
    }
    let json: serde_json::Value = serde_json::from_str(&text(&entry, LogFormat::Json)).unwrap();
    assert!(json["path"].as_str().unwrap().starts_with("/a\r\n{\"status\":200}\u{1b}[2J\u{fffd}31m"));
}

#[test]
fn long_values_are_cut_at_a_character() {
    let path = "ü".repeat(4_000);
    let line = text(&AccessEntry { path: &path, ..entry() }, LogFormat::Json);
    assert!(line.len() < 1_400, "{}", line.len());
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn all_lines_are_written_before_the_writer_is_gone() {
    let out = Shared::default();
    let writer = AccessLogWriter::start(out.clone(), Arc::default()).unwrap();
    for _ in 0..1_000 {
        writer.log(&entry(), LogFormat::Json);
    }
    let dropped = writer.dropped();
    drop(writer);
    assert_eq!(dropped, 0);
    assert_eq!(out.0.lock().iter().filter(|b| **b == b'\n').count(), 1_000);
}

/// Says when it is asked to write, and then waits until it may.
struct Blocked {
    asked: std::sync::mpsc::SyncSender<()>,
    go: Receiver<()>,
}

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.asked.try_send(());
        let _ = self.go.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_hangs_costs_lines_not_time() {
    let (go, wait) = unbounded::<()>();
    let (asked, is_blocked) = sync_channel(1);
    let writer = AccessLogWriter::start(Blocked { asked, go: wait }, Arc::default()).unwrap();
    writer.log(&entry(), LogFormat::Json);
    is_blocked.recv().unwrap();
    for _ in 0..QUEUE + 100 {
        writer.log(&entry(), LogFormat::Json);
    }
    assert_eq!(writer.dropped(), 100);
    drop(go);
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let dropped: Arc<Counter> = Arc::default();
    let writer = AccessLogWriter::start(Broken, Arc::clone(&dropped)).unwrap();
    (0..10).for_each(|_| writer.log(&entry(), LogFormat::Text));
    drop(writer);
    assert_eq!(dropped.get(), 10);
}
