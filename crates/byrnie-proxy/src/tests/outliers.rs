//! Endpoints that are left out, how they come back, and where requests go meanwhile.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use byrnie_decide::Time;
use byrnie_plan::{
    AppProtocol, Balancer, Hop, LatencyOutlier, LocalityPreference, ObjectName, Outlier, Retry,
    SuccessRateOutlier, TrafficSettings,
};
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, ask, get};
use super::kit::{Reply, cluster_of, everything, obey, origin, status, text};
use crate::balance::state;
use crate::config::Endpoint;
use crate::front::Entrance;
use crate::tcp::tests::mesh::{Mesh, application, call, echo, endpoint, listen, run, until, web};
use crate::worker::Worker;

/// An application that answers with the status it is told to, counts, and may take its time.
struct App {
    address: SocketAddr,
    hits: Rc<Cell<u32>>,
    status: Rc<Cell<u16>>,
    retry_after: Rc<Cell<u32>>,
}

impl App {
    async fn new(delay: Duration) -> Self {
        let (hits, code, retry_after) =
            (Rc::new(Cell::new(0)), Rc::new(Cell::new(200)), Rc::new(Cell::new(0)));
        let (count, answer, rest) = (Rc::clone(&hits), Rc::clone(&code), Rc::clone(&retry_after));
        let address = origin(move |_: Request<Incoming>| {
            count.set(count.get() + 1);
            let (code, rest) = (answer.get(), rest.get());
            async move {
                tokio::time::sleep(delay).await;
                let mut reply: Reply = if code == 200 { text("ok") } else { status(code) };
                if rest > 0 {
                    reply.headers_mut().insert("retry-after", rest.into());
                }
                reply
            }
        })
        .await;
        Self { address, hits, status: code, retry_after }
    }

    fn hits(&self) -> u32 {
        self.hits.get()
    }
}

async fn apps<const N: usize>() -> [App; N] {
    let mut all = Vec::new();
    for _ in 0..N {
        all.push(App::new(Duration::ZERO).await);
    }
    all.try_into().unwrap_or_else(|_| unreachable!())
}

fn in_turn(outlier: Outlier) -> TrafficSettings {
    TrafficSettings { balancer: Balancer::RoundRobin, outlier: Some(outlier), ..TrafficSettings::default() }
}

/// A second and a third worker of the same process, listening for the same service.
async fn workers(first: &Rc<Worker>, count: usize) -> Vec<SocketAddr> {
    let mut addresses = vec![listen(first, Entrance::Upstream(web())).await];
    for index in 1..count {
        let worker = Worker::new(index, Arc::clone(&first.process));
        addresses.push(listen(&worker, Entrance::Upstream(web())).await);
    }
    addresses
}

async fn proxy(settings: TrafficSettings, apps: &[&App], count: usize) -> (Rc<Worker>, Vec<SocketAddr>) {
    let worker = Mesh::new().proxy("front");
    let endpoints = apps.iter().map(|app| endpoint(app.address, Hop::Plaintext)).collect();
    call(&worker, AppProtocol::Http1, settings, endpoints);
    let addresses = workers(&worker, count).await;
    (worker, addresses)
}

fn ejected(worker: &Worker) -> usize {
    let now = worker.time(std::time::Instant::now());
    state::endpoints(&worker.config(), now).iter().filter(|e| e.ejected_for.is_some()).count()
}

fn ejections(worker: &Worker, reason: &str) -> u64 {
    let names = ["shop", "web", reason];
    worker.process.metrics.counter(&byrnie_telemetry::names::OUTLIER_EJECTIONS, &names).get()
}

#[test]
fn ejected_after_exactly_n_failures_probed_once_at_a_time_and_back_with_a_success() {
    for count in [1, 3] {
        run(async move {
            let [good, bad] = apps().await;
            bad.status.set(500);
            let outlier = Outlier {
                consecutive_failures: 4,
                base_ejection: Duration::from_millis(300),
                ..Outlier::default()
            };
            let (worker, addresses) = proxy(in_turn(outlier), &[&good, &bad], count).await;
            let mut asked = 0;
            while ejected(&worker) == 0 {
                ask(addresses[asked % count], get("/")).await;
                asked += 1;
            }
            assert_eq!(bad.hits(), 4, "{count} workers");
            assert_eq!(ejections(&worker, "consecutive_failures"), 1);
            // Out for 0.3, 0.6, 1.2 … seconds, and one probe between.
            let began = std::time::Instant::now();
            while began.elapsed() < Duration::from_millis(1500) {
                assert_ne!(bad.hits(), 4 + 4, "not more often than the times allow");
                ask(addresses[asked % count], get("/")).await;
                asked += 1;
            }
            let probes = bad.hits() - 4;
            assert!((1..=3).contains(&probes), "{probes} probes");
            assert_eq!(ejections(&worker, "probe"), u64::from(probes));
            bad.status.set(200);
            until("it is probed and back", || {
                ejected(&worker) == 0 || {
                    let address = addresses[0];
                    tokio::task::spawn_local(async move { ask(address, get("/")).await });
                    false
                }
            })
            .await;
            let before = bad.hits();
            for _ in 0..10 {
                ask(addresses[0], get("/")).await;
            }
            assert!(bad.hits() - before >= 4, "it has its share again");
        });
    }
}

#[test]
fn never_more_than_half_are_out_and_the_rest_takes_everything() {
    run(async {
        let all: [App; 5] = apps().await;
        all.iter().for_each(|app| app.status.set(503));
        let outlier = Outlier { consecutive_failures: 1, ..Outlier::default() };
        let (worker, addresses) = proxy(in_turn(outlier), &all.each_ref(), 1).await;
        for _ in 0..50 {
            ask(addresses[0], get("/")).await;
        }
        assert_eq!(ejected(&worker), 2);
    });
}

#[test]
fn too_many_requests_do_not_eject_but_repel_and_retry_after_is_heeded_up_to_its_limit() {
    run(async {
        let [good, busy] = apps().await;
        busy.status.set(429);
        let outlier = Outlier { consecutive_failures: 1, ..Outlier::default() };
        let (worker, addresses) = proxy(in_turn(outlier), &[&good, &busy], 1).await;
        for _ in 0..20 {
            ask(addresses[0], get("/")).await;
        }
        assert_eq!((ejected(&worker), busy.hits()), (0, 10), "round robin does not look at load");
        busy.retry_after.set(1_000);
        let settings = TrafficSettings {
            balancer: Balancer::RoundRobin,
            retry_after_max: Duration::from_millis(700),
            ..TrafficSettings::default()
        };
        let (_worker, addresses) = proxy(settings, &[&good, &busy], 1).await;
        let before = busy.hits();
        let began = std::time::Instant::now();
        let mut asked_in_time = 0;
        while busy.hits() < before + 2 {
            let answer = ask(addresses[0], get("/")).await;
            asked_in_time += u32::from(answer.status == 200);
            assert!(began.elapsed() < Duration::from_secs(20), "the limit is 700 ms, not 1,000 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(began.elapsed() >= Duration::from_millis(700), "{asked_in_time}");
        // When nobody else is there, it is asked all the same.
        let alone =
            TrafficSettings { retry_after_max: Duration::from_secs(30), ..TrafficSettings::default() };
        let [other] = apps().await;
        other.status.set(503);
        other.retry_after.set(30);
        let (_worker, addresses) = proxy(alone, &[&busy, &other], 1).await;
        for _ in 0..10 {
            assert!(matches!(ask(addresses[0], get("/")).await.status, 429 | 503));
        }
    });
}

#[test]
fn who_succeeds_less_often_or_answers_more_slowly_is_ejected_at_the_end_of_an_interval() {
    run(async {
        let [a, b, failing] = apps().await;
        let slow = App::new(Duration::from_millis(150)).await;
        failing.status.set(500);
        let interval = Duration::from_millis(400);
        let none = Outlier { consecutive_failures: 0, interval, ..Outlier::default() };
        let rate = SuccessRateOutlier {
            minimum_endpoints: 2,
            minimum_requests: 5,
            deviation_thousandths: 500,
            ..SuccessRateOutlier::default()
        };
        let by_rate = Outlier { success_rate: Some(rate), ..none.clone() };
        let latency = LatencyOutlier { minimum_requests: 2, ..LatencyOutlier::default() };
        let by_latency = Outlier { latency: Some(latency), ..none };
        for (outlier, bad, reason) in [(by_rate, &failing, "success_rate"), (by_latency, &slow, "latency")] {
            let (worker, addresses) = proxy(in_turn(outlier), &[&a, &b, bad], 1).await;
            let clients = (0..10).map(|_| async {
                let mut client = Client::to(addresses[0]).await;
                while ejected(&worker) == 0 {
                    client.ask(get("/")).await;
                }
            });
            futures_util::future::join_all(clients).await;
            let now = worker.time(std::time::Instant::now());
            let out = state::endpoints(&worker.config(), now);
            let out: Vec<_> = out.iter().filter(|e| e.ejected_for.is_some()).map(|e| e.address).collect();
            assert_eq!((out, ejections(&worker, reason)), (vec![bad.address], 1));
        }
    });
}

#[test]
fn connections_of_bytes_eject_too_and_one_that_comes_about_brings_it_back() {
    run(async {
        let good = application(echo).await;
        // Nobody listens there yet.
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bad = reserved.local_addr().unwrap();
        drop(reserved);
        let outlier = Outlier {
            consecutive_failures: 3,
            base_ejection: Duration::from_millis(300),
            ..Outlier::default()
        };
        let worker = Mesh::new().proxy("front");
        let endpoints = [good, bad].map(|address| endpoint(address, Hop::Plaintext)).to_vec();
        call(&worker, AppProtocol::Tcp, in_turn(outlier), endpoints);
        let address = listen(&worker, Entrance::Upstream(web())).await;
        let hello = || async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await.map(|_| stream)
        };
        let mut tries = 0;
        while ejected(&worker) == 0 {
            hello().await.unwrap();
            tries += 1;
        }
        assert_eq!(ejections(&worker, "consecutive_failures"), 1);
        assert!((3..=6).contains(&tries), "the third failure, about every second connection: {tries}");
        let listener = tokio::net::TcpListener::bind(bad).await.unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(echo(stream));
            }
        });
        let mut open = Vec::new();
        while ejected(&worker) != 0 {
            open.push(hello().await.unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(ejections(&worker, "probe"), 0, "it is back while the probe's connection is open");
    });
}

fn at(app: &App, locality: &str) -> Arc<Endpoint> {
    let plan = byrnie_plan::Endpoint {
        workload: ObjectName::new("shop", format!("web-{}", app.address.port())),
        address: app.address,
        app_port: 80,
        hop: Hop::Plaintext,
        weight: 1,
        locality: locality.to_owned(),
        labels: Vec::new(),
        uid: String::new(),
    };
    Arc::new(Endpoint::new(plan, Time::ZERO))
}

async fn near(
    settings: TrafficSettings,
    own: &str,
    endpoints: Vec<Arc<Endpoint>>,
) -> (Rc<Worker>, SocketAddr) {
    let worker = Mesh::new().proxy("front");
    let cluster = Arc::into_inner(cluster_of("web", AppProtocol::Http1, settings, endpoints)).unwrap();
    obey(&worker, &everything(), &[Arc::new(cluster.called_from(&own.into()))]);
    let address = listen(&worker, Entrance::Upstream(web())).await;
    (worker, address)
}

#[test]
fn near_endpoints_take_everything_and_spill_over_as_they_fail() {
    run(async {
        let all: [App; 6] = apps().await;
        let places = ["eu/a", "eu/a", "eu/a", "eu/a", "eu/b", "us/c"];
        let endpoints: Vec<_> = all.iter().zip(places).map(|(app, place)| at(app, place)).collect();
        let outlier = Outlier { consecutive_failures: 1, ..Outlier::default() };
        let preference = LocalityPreference { failover: Vec::new(), overprovisioning_percent: 140 };
        let settings = TrafficSettings { locality: Some(preference), ..in_turn(outlier) };
        let (worker, address) = near(settings, "eu/a", endpoints).await;
        let mut client = Client::to(address).await;
        let mut load = async |requests: u32| {
            let before = all.each_ref().map(App::hits);
            for _ in 0..requests {
                client.ask(get("/")).await;
            }
            let counts: Vec<u32> = all.iter().zip(before).map(|(app, before)| app.hits() - before).collect();
            (counts[..4].iter().sum::<u32>(), counts[4], counts[5])
        };
        assert_eq!(load(100).await, (100, 0, 0));
        // Two of four are in service: 70 % stay, 30 % go to the next zone, nothing to the next region.
        all[0].status.set(500);
        all[1].status.set(500);
        load(40).await;
        assert_eq!(ejected(&worker), 2);
        let (zone, region, far) = load(1_000).await;
        assert!(zone.abs_diff(700) < 60 && region.abs_diff(300) < 60 && far == 0, "{zone} {region} {far}");
    });
}

#[test]
fn a_region_that_is_gone_is_replaced_in_the_order_given() {
    run(async {
        let all: [App; 3] = apps().await;
        let endpoints: Vec<_> =
            all.iter().zip(["ap/x", "us/y", "sa/z"]).map(|(app, place)| at(app, place)).collect();
        let preference = LocalityPreference {
            failover: vec!["us".to_owned(), "ap".to_owned()],
            overprovisioning_percent: 140,
        };
        let settings = TrafficSettings { locality: Some(preference), ..TrafficSettings::default() };
        let (_worker, address) = near(settings, "eu/a", endpoints).await;
        for _ in 0..20 {
            ask(address, get("/")).await;
        }
        assert_eq!(all.each_ref().map(App::hits), [0, 20, 0]);
    });
}

#[test]
fn another_try_may_prefer_another_locality() {
    run(async {
        let all: [App; 3] = apps().await;
        all[0].status.set(503);
        all[1].status.set(503);
        let endpoints: Vec<_> =
            all.iter().zip(["eu/a", "eu/a", "eu/b"]).map(|(app, place)| at(app, place)).collect();
        let preference = LocalityPreference { failover: Vec::new(), overprovisioning_percent: 140 };
        let mut retry = Retry { attempts: 1, other_locality: true, ..Retry::default() };
        retry.on.statuses = vec![503];
        let settings = TrafficSettings { locality: Some(preference), retry, ..TrafficSettings::default() };
        let (_worker, address) = near(settings, "eu/a", endpoints).await;
        for _ in 0..20 {
            assert_eq!(ask(address, get("/")).await.status, 200);
        }
        assert_eq!(all[2].hits(), 20);
    });
}
