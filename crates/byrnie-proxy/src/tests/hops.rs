//! The mesh port: who may come in, and for what.

use std::rc::Rc;
use std::sync::Arc;

use byrnie_identity::unused_server_name;
use byrnie_plan::{
    Action, AppProtocol, AuthorizationPolicy, AuthorizationRule, Dialect, ObjectName, Operation,
    ServicePortRef, Source, TextMatch, TrafficSettings,
};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::{ask, get};
use super::kit::{as_seen, counted, origin, pair};
use crate::config::Config;
use crate::front::Entrance;
use crate::tcp::tests::mesh::{Accepts, Mesh, PORT, Pair, call, identity, listen, meshed, run};
use crate::tls::Alpn;
use crate::worker::Worker;

/// Speaks to a mesh port as a proxy does, but says what it wants.
async fn peer(client: &Rc<Worker>, pair: &Pair) -> SendRequest<Bytes> {
    let tls = client.process.tls.load_full().unwrap();
    let config = tls.client(Alpn::Requests, &identity("web")).unwrap();
    let stream = TcpStream::connect(pair.endpoint.plan.address).await.unwrap();
    let stream = TlsConnector::from(config).connect(unused_server_name(), stream).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    sender.ready().await.unwrap()
}

async fn say(sender: &mut SendRequest<Bytes>, hop: &[&str]) -> Response<h2::RecvStream> {
    let mut request = Request::get("http://web.shop/a");
    for hop in hop {
        request = request.header("byrnie-hop", *hop);
    }
    let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    answer.await.unwrap()
}

#[test]
fn a_hop_names_a_service_and_a_port_of_this_workload() {
    run(async {
        let pair = pair(origin(as_seen).await, AppProtocol::Http1).await;
        let mut sender = peer(&pair.client, &pair).await;
        let good = format!("v=1;s=shop/web:80;p={PORT};h=11");
        for _ in 0..2 {
            for (hops, status, error) in [
                (vec![good.as_str()], 200, ""),
                (vec![], 400, "BYR0212"),
                (vec!["nonsense"], 400, "BYR0212"),
                (vec!["v=1;s=shop/web:80;p=8080;h=99"], 400, "BYR0212"),
                (vec!["v=1;s=shop/other:80;p=8080;h=11"], 403, "BYR0211"),
                (vec!["v=1;s=shop/web:81;p=8080;h=11"], 403, "BYR0211"),
                (vec!["v=1;s=shop/web:80;p=22;h=11"], 403, "BYR0211"),
            ] {
                let answer = say(&mut sender, &hops).await;
                assert_eq!(answer.status(), status, "{hops:?}");
                let said = answer.headers().get("byrnie-error").map_or("", |value| value.to_str().unwrap());
                assert!(said.starts_with(error), "{hops:?}: {said}");
            }
        }
        for delta in counted(&pair.server) {
            let named = delta
                .labels
                .service
                .as_ref()
                .is_none_or(|service| *service == ObjectName::new("shop", "web"));
            assert!(named, "a name that a peer made up is no label: {delta:?}");
        }
    });
}

#[test]
fn the_time_that_is_left_comes_with_the_hop() {
    run(async {
        let app = origin(async |_: Request<hyper::body::Incoming>| std::future::pending().await);
        let pair = pair(app.await, AppProtocol::Http1).await;
        let mut sender = peer(&pair.client, &pair).await;
        let answer = say(&mut sender, &[&format!("v=1;s=shop/web:80;p={PORT};h=11;d=100")]).await;
        assert_eq!(answer.status(), 504);
    });
}

#[test]
fn nothing_is_accepted_before_the_policy_is_there() {
    run(async {
        let pair = pair(origin(as_seen).await, AppProtocol::Http1).await;
        pair.server.process.config.store(Arc::new(Config::default()));
        let answer = ask(pair.address, get("/")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0215"));
    });
}

fn policy(name: &str, action: Action, to: Operation) -> AuthorizationPolicy {
    let from = vec![Source {
        identities: vec![TextMatch::Exact(identity("front").to_string())],
        ..Source::default()
    }];
    let rules = vec![AuthorizationRule { from, to: vec![to] }];
    AuthorizationPolicy { name: name.to_owned(), action, rules, dry_run: false }
}

fn paths(paths: &[&str]) -> Operation {
    let exact = |path: &&str| match path.strip_suffix('*') {
        Some(prefix) => TextMatch::Prefix(prefix.to_owned()),
        None => TextMatch::Exact((*path).to_owned()),
    };
    Operation { paths: paths.iter().map(exact).collect(), ..Operation::default() }
}

async fn guarded(policies: Vec<AuthorizationPolicy>) -> Pair {
    let accepts = Accepts { protocol: AppProtocol::Http1, policies, ..Accepts::new(origin(as_seen).await) };
    Pair::with(accepts, AppProtocol::Http1, TrafficSettings::default(), Dialect::Byrnie).await
}

#[test]
fn a_refusal_names_its_policy_where_that_is_wanted() {
    run(async {
        let pair = guarded(vec![policy("shop/no-admin", Action::Deny, paths(&["/admin*"]))]).await;
        let answer = ask(pair.address, get("/admin/users")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (403, "BYR0210"));
        assert!(answer.text().contains("shop/no-admin"), "{}", answer.text());
        let counts = counted(&pair.server);
        assert_eq!((counts[0].outcome.policy.as_str(), counts[0].outcome.status), ("shop/no-admin", 403));
        let config = pair.server.config();
        let mut settings = (*config.settings).clone();
        settings.show_policy_in_response = false;
        let generation = config.generation + 1;
        let config = Config {
            generation,
            settings: Arc::new(settings),
            inbound: config.inbound.clone(),
            ..Config::default()
        };
        pair.server.process.config.store(Arc::new(config));
        let answer = ask(pair.address, get("/admin/users")).await;
        assert!(answer.status == 403 && !answer.text().contains("no-admin"), "{}", answer.text());
    });
}

#[test]
fn a_path_has_one_name_for_policies() {
    run(async {
        let pair = guarded(vec![policy("shop/no-admin", Action::Deny, paths(&["/admin", "/admin/*"]))]).await;
        for path in [
            "/admin",
            "/%61dmin",
            "//admin",
            "/x/../admin",
            "/x/%2e%2e/admin",
            "/./admin",
            "/admin/",
            "/admin//x",
            "/admin/../admin/x",
            "/admin?x",
            "http://web.shop/admin",
            "/x/..//admin/./",
            "/%61%64min/x",
        ] {
            assert_eq!(ask(pair.address, get(path)).await.status, 403, "{path}");
        }
        for path in ["/admin%2fx", "/x%2f..%2fadmin", "/admin%5cx", "/admin\\x", "/admin%00"] {
            assert_eq!(ask(pair.address, get(path)).await.status, 400, "{path}");
        }
        for path in ["/administrator", "/x/admin", "/admin/../x", "/Admin", "/%2561dmin"] {
            assert_eq!(ask(pair.address, get(path)).await.status, 200, "{path}");
        }
        // A peer that does not normalise gains nothing: the server's proxy does it, too.
        let mut sender = peer(&pair.client, &pair).await;
        let hop = format!("v=1;s=shop/web:80;p={PORT};h=11");
        let request =
            Request::get("http://web.shop/x/%2e%2e/%61dmin").header("byrnie-hop", hop).body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 403);
    });
}

#[test]
fn deny_goes_before_allow_and_what_is_not_allowed_is_refused() {
    run(async {
        let get_only = Operation { methods: vec!["GET".to_owned()], ..Operation::default() };
        let pair = guarded(vec![
            policy("shop/get", Action::Allow, get_only),
            policy("shop/no-admin", Action::Deny, paths(&["/admin"])),
        ])
        .await;
        for (words, status) in [
            (get("/"), 200),
            (get("/admin"), 403),
            (super::client::post("/", "x"), 403),
            ("HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(), 403),
        ] {
            let mut client = super::client::Client::to(pair.address).await;
            client.say(&words).await;
            assert_eq!(client.head().await.status, status, "{words}");
        }
    });
}

#[test]
fn each_side_refuses_a_stranger() {
    run(async {
        // Another trust domain's root, on the client's side.
        let home = pair(origin(as_seen).await, AppProtocol::Http1).await;
        let stranger = Mesh::new().proxy("front");
        call(&stranger, AppProtocol::Http1, TrafficSettings::default(), vec![Arc::clone(&home.endpoint)]);
        let address = listen(&stranger, Entrance::Upstream(super::super::tcp::tests::mesh::web())).await;
        let answer = ask(address, super::client::post("/", "x")).await;
        assert_eq!(
            (answer.status, &answer.header("byrnie-error")[..7]),
            (503, "BYR0205"),
            "{}",
            answer.text()
        );
        assert!(counted(&home.server).is_empty());
        // The same root, another identity than the plan says.
        let proxy = home.endpoint.plan.address;
        let endpoints = vec![meshed(proxy, "other", Dialect::Byrnie)];
        call(&home.client, AppProtocol::Http1, TrafficSettings::default(), endpoints);
        let answer = ask(home.address, get("/")).await;
        assert_eq!(
            (answer.status, &answer.header("byrnie-error")[..7]),
            (503, "BYR0205"),
            "{}",
            answer.text()
        );
        assert!(counted(&home.server).is_empty());
        let known = ServicePortRef { service: ObjectName::new("shop", "web"), port: 80 };
        assert_eq!(known, super::super::tcp::tests::mesh::web());
    });
}

#[test]
fn a_client_without_a_certificate_hears_nothing() {
    run(async {
        let pair = pair(origin(as_seen).await, AppProtocol::Http1).await;
        let answer = super::client::Client::to(pair.endpoint.plan.address).await;
        let mut client = answer;
        client.say(get("/")).await;
        let said = client.rest().await;
        assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");
        pair.client.process.tls.store(None);
        let answer = ask(pair.address, get("/")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0215"));
    });
}
