//! What is told of a request: access log, metrics, tap.

use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use byrnie_plan::{AccessLog, AccessLogFormat, AppProtocol, Hop, MeshSettings, ObjectName, TrafficSettings};
use byrnie_telemetry::{AccessLogWriter, Registry, RegistrySettings, TapFilter, TapWhat, names};
use parking_lot::Mutex;

use super::client::{ask, get, post};
use super::kit::{as_seen, counted, origin, pair, read_head, status};
use crate::config::Config;
use crate::front::Entrance;
use crate::process::{Process, Role};
use crate::tcp::tests::mesh::{application, call, endpoint, listen, run, until, web};
use crate::worker::Worker;

/// A log that can be read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock()).lines().map(str::to_owned).collect()
    }
}

fn logged(role: Role) -> (Rc<Worker>, Log) {
    let metrics = Registry::new(RegistrySettings::default());
    let dropped = metrics.counter(&names::ACCESS_LOG_DROPPED, &[]);
    let log = Log::default();
    let writer = AccessLogWriter::start(log.clone(), dropped).unwrap();
    let process = Process::new(ObjectName::new("shop", "front-1"), role, metrics, writer);
    (Worker::new(0, Arc::new(process)), log)
}

fn settings(worker: &Worker, settings: MeshSettings) {
    let before = worker.config();
    let (generation, destinations) = (before.generation + 1, before.destinations.clone());
    let config = Config { generation, destinations, settings: Arc::new(settings), ..Config::default() };
    drop(before);
    worker.process.config.store(Arc::new(config));
}

#[test]
fn failures_are_logged_and_successes_where_that_is_wanted() {
    run(async {
        let (worker, log) = logged(Role::Sidecar);
        let app = origin(async |request: http::Request<hyper::body::Incoming>| match request.uri().path() {
            "/503" => status(503),
            _ => as_seen(request).await,
        });
        let endpoints = vec![endpoint(app.await, Hop::Plaintext)];
        call(&worker, AppProtocol::Http1, TrafficSettings::default(), endpoints);
        let address = listen(&worker, Entrance::Upstream(web())).await;
        assert_eq!(ask(address, get("/good")).await.status, 200);
        assert_eq!(ask(address, get("/503?secret=1")).await.status, 503);
        until("a line is written", || !log.lines().is_empty()).await;
        let line: serde_json::Value = serde_json::from_str(&log.lines()[0]).unwrap();
        let text = line.to_string();
        assert!(text.contains("/503") && !text.contains("secret") && text.contains("503"), "{text}");
        assert!(text.contains("shop") && text.contains("web"), "{text}");
        settings(&worker, MeshSettings { access_log: AccessLog::All, ..MeshSettings::default() });
        let words = "POST /all HTTP/1.1\r\nhost: a\r\nx-request-id: id-1\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(ask(address, words).await.status, 200);
        until("a line is written", || log.lines().len() == 2).await;
        assert!(log.lines()[1].contains("id-1") && log.lines()[1].contains("/all"), "{}", log.lines()[1]);
        let format = AccessLogFormat::Text;
        let all =
            MeshSettings { access_log: AccessLog::All, access_log_format: format, ..MeshSettings::default() };
        settings(&worker, all);
        assert_eq!(ask(address, get("/text")).await.status, 200);
        until("a line is written", || log.lines().len() == 3).await;
        assert!(!log.lines()[2].starts_with('{') && log.lines()[2].contains("/text"), "{}", log.lines()[2]);
        settings(&worker, MeshSettings { access_log: AccessLog::Off, ..MeshSettings::default() });
        assert_eq!(ask(address, get("/503")).await.status, 503);
        assert_eq!(log.lines().len(), 3);
    });
}

#[test]
fn each_kind_of_error_has_its_code_in_answer_log_and_metrics() {
    run(async {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let resets = application(async |mut stream| drop(read_head(&mut stream).await)).await;
        let nonsense = application(async |mut stream| {
            use tokio::io::AsyncWriteExt;
            let _ = read_head(&mut stream).await;
            let _ = stream.write_all(b"NONSENSE\r\n\r\n").await;
        });
        let hangs = application(async |mut stream| {
            let _ = read_head(&mut stream).await;
            std::future::pending().await
        });
        let limit = TrafficSettings {
            request_timeout: Some(std::time::Duration::from_millis(100)),
            ..TrafficSettings::default()
        };
        for (at, words, status, code) in [
            (None, post("/", "x"), 503, "BYR0203"),
            (Some(closed), post("/", "x"), 503, "BYR0204"),
            (Some(resets), post("/", "x"), 502, "BYR0206"),
            (Some(nonsense.await), post("/", "x"), 502, "BYR0207"),
            (Some(hangs.await), post("/", "x"), 504, "BYR0208"),
            (Some(resets), get("/%2f"), 400, "BYR0200"),
        ] {
            for role in [Role::Sidecar, Role::Gateway] {
                let (worker, log) = logged(role);
                let endpoints = at.map(|at| endpoint(at, Hop::Plaintext)).into_iter().collect();
                call(&worker, AppProtocol::Http1, limit.clone(), endpoints);
                let address = listen(&worker, Entrance::Upstream(web())).await;
                let answer = ask(address, &words).await;
                assert_eq!(answer.status, status, "{code}: {}", answer.text());
                let told = answer.header("byrnie-error").starts_with(code) && answer.text().starts_with(code);
                assert_eq!(told, role == Role::Sidecar, "{code}: {answer:?}");
                until("a line is written", || !log.lines().is_empty()).await;
                assert!(log.lines()[0].contains(code), "{}", log.lines()[0]);
                let counts = counted(&worker);
                assert_eq!((counts.len(), counts[0].outcome.error.as_str()), (1, code), "{counts:?}");
                assert_eq!(counts[0].outcome.status, status);
            }
        }
    });
}

#[test]
fn both_sides_count_a_request_with_who_and_whom() {
    run(async {
        let pair = pair(origin(as_seen).await, AppProtocol::Http1).await;
        for _ in 0..3 {
            assert_eq!(ask(pair.address, post("/", "hello")).await.status, 200);
        }
        let outbound = counted(&pair.client).remove(0);
        let inbound = counted(&pair.server).remove(0);
        assert_eq!((outbound.tally.count(), inbound.tally.count()), (3, 3));
        assert_eq!((outbound.tally.request_bytes, inbound.tally.request_bytes), (15, 15));
        assert!(outbound.labels.secured && inbound.labels.secured);
        assert_eq!(outbound.labels.destination, Some(pair.endpoint.plan.workload.clone()));
        assert_eq!(outbound.labels.peer_identity, inbound.labels.self_identity);
        assert_eq!(inbound.labels.peer_identity, outbound.labels.self_identity);
        assert_eq!(inbound.labels.service, Some(web().service));
        assert_eq!((outbound.outcome.status, outbound.outcome.error.as_str()), (200, ""));
    });
}

#[test]
fn a_tap_sees_beginning_answer_and_end() {
    run(async {
        let pair = pair(origin(as_seen).await, AppProtocol::Http1).await;
        for worker in [&pair.client, &pair.server] {
            let filter = TapFilter { path_prefix: Some("/seen".to_owned()), ..TapFilter::default() };
            assert!(worker.process.tap.add(1, filter, 10));
        }
        ask(pair.address, get("/other")).await;
        let body = ask(pair.address, get("/seen?q=1")).await.body.len() as u64;
        for worker in [&pair.client, &pair.server] {
            let events = worker.process.tap.drain();
            assert_eq!(events.len(), 3, "{events:?}");
            let [TapWhat::Start(start), TapWhat::Response(response), TapWhat::End(end)] =
                [&events[0].what, &events[1].what, &events[2].what]
            else {
                panic!("{events:?}");
            };
            assert_eq!(
                (start.method.as_str(), start.path.as_str(), start.secured),
                ("GET", "/seen?q=1", true)
            );
            assert_eq!((response.status, end.response_bytes, end.error.as_str()), (200, body, ""));
            assert!(events.iter().all(|event| event.request == events[0].request));
        }
    });
}
