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
