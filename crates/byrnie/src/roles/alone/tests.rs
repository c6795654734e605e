use super::*;

fn flags(listen: &str, to: &[&str]) -> Result<Compiled, Failure> {
    let to: Vec<String> = to.iter().map(|to| (*to).to_owned()).collect();
    compile(objects::from_flags(listen, &to)?, None)
}

#[test]
fn two_flags_make_a_whole_configuration() {
    for (to, endpoints) in [
        (&["127.0.0.1:3000"][..], 1),
        (&["http://127.0.0.1:3000/", "http://127.0.0.1:3001"], 2),
        (&["h2c://127.0.0.1:3000"], 1),
        (&["tcp://127.0.0.1:3000"], 1),
    ] {
        let (gateway, resources) = flags("127.0.0.1:8080", to).unwrap();
        let Some(Resource::GatewayRoutes(routes)) = resources.get(&Key::GatewayRoutes(gateway)) else {
            panic!("{to:?}: no listeners");
        };
        assert_eq!(routes.listeners.len(), 1, "{to:?}");
        let service = ObjectName::new("default", "to");
        let Some(Resource::Endpoints(found)) = resources.get(&Key::Endpoints(service)) else {
            panic!("{to:?}: no endpoints");
        };
        assert_eq!(found.ports[0].endpoints.len(), endpoints, "{to:?}");
        assert!(found.ports[0].endpoints.iter().all(|e| e.hop == byrnie_plan::Hop::Plaintext), "{to:?}");
    }
}

#[test]
fn flags_without_sense_are_refused() {
    for (listen, to) in [
        ("8080", &["127.0.0.1:3000"][..]),
        (":x", &["127.0.0.1:3000"]),
        (":8080", &["127.0.0.1"]),
        (":8080", &["ftp://127.0.0.1:21"]),
        (":8080", &["127.0.0.1:0"]),
        (":8080", &["127.0.0.1:3000", "tcp://127.0.0.1:3000"]),
    ] {
        assert!(flags(listen, to).is_err(), "{listen} {to:?}");
    }
}

#[test]
fn there_is_one_gateway_and_its_workloads_are_plain() {
    let mut all = objects::from_flags("127.0.0.1:8080", &["127.0.0.1:3000".to_owned()]).unwrap();
    all.retain(|object| object["kind"] != "Gateway");
    let Err(Failure::Told(report)) = compile(all, None) else { panic!("compiled without a Gateway") };
    assert_eq!(report.code, GATEWAY);
}

#[test]
fn the_flag_says_which_requests_are_logged() {
    for (mesh, want) in [(None, 1), (Some(objects::mesh("off")), 1)] {
        let mut all: Vec<Value> = mesh.into_iter().collect();
        log_requests(&mut all, LoggedRequests::All);
        assert_eq!(all.len(), want);
        assert_eq!(all[0]["spec"]["telemetry"]["accessLog"], "all");
    }
}

/// A file that sends everything to this port.
fn file(port: u16) -> String {
    let spec = |rest: &str| format!("apiVersion: {rest}\n---\n");
    [
        spec("gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec: {gatewayClassName: byrnie, listeners: [{name: web, port: 8080, protocol: HTTP}]}"),
        spec("gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web}\nspec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web, port: 80}]}]}"),
        spec(&format!("v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: {port}}}]}}")),
        spec(&format!("mesh.byrnie.dev/v1alpha1\nkind: Workload\nmetadata: {{name: web-1, labels: {{app: web}}}}\nspec: {{ports: [{{port: {port}}}]}}")),
    ]
    .concat()
}

/// The state of a proxy that obeys this file.
fn obeying(path: &Path) -> watch::Receiver<LocalState> {
    #[derive(clap::Parser)]
    struct Alone {
        #[command(flatten)]
        args: ProxyArgs,
    }
    let words = ["proxy".as_ref(), "--config".as_ref(), path.as_os_str()];
    let args = <Alone as clap::Parser>::try_parse_from(words).unwrap().args;
    let Ok((_, _, Source::Local(state))) = start(&args, true) else { panic!("it does not start") };
    state
}

/// Waits for a change; `meanwhile` is done again and again. It takes a second or so.
fn wait_for_change(state: &watch::Receiver<LocalState>, mut meanwhile: impl FnMut()) {
    let began = std::time::Instant::now();
    while !state.has_changed().unwrap() {
        assert!(began.elapsed() < Duration::from_secs(20), "the change was not taken over");
        meanwhile();
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn sends_to(state: &watch::Receiver<LocalState>, port: u16) -> bool {
    let Some(Resource::Endpoints(found)) =
        state.borrow().resources.get(&Key::Endpoints(ObjectName::new("default", "web"))).cloned()
    else {
        return false;
    };
    found.ports[0].endpoints.iter().all(|endpoint| endpoint.address.port() == port)
}

#[test]
fn what_changes_while_a_proxy_starts_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let (path, beside) = (dir.path().join("edge.yaml"), dir.path().join("new"));
    std::fs::write(&beside, file(3001)).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opens when somebody reads. Before they have come to the end, another file is in its place.
    let pipe = path.clone();
    let writer = std::thread::spawn(move || {
        let mut open = std::fs::File::options().write(true).open(&pipe).unwrap();
        std::io::Write::write_all(&mut open, file(3000).as_bytes()).unwrap();
        std::fs::rename(&beside, &pipe).unwrap();
    });
    let state = obeying(&path);
    writer.join().unwrap();
    assert!(sends_to(&state, 3000));
    wait_for_change(&state, || {});
    assert!(sends_to(&state, 3001));
}

#[test]
fn a_file_that_is_replaced_all_the_time_is_taken_over_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (path, beside) = (dir.path().join("edge.yaml"), dir.path().join("new"));
    std::fs::write(&path, file(3000)).unwrap();
    let state = obeying(&path);
    wait_for_change(&state, || {
        std::fs::write(&beside, file(3001)).unwrap();
        std::fs::rename(&beside, &path).unwrap();
    });
    assert!(sends_to(&state, 3001));
}
