//! Services that are called by their virtual address: known when all of it is, and only then.

use byrnie_plan::{NAME_SHARDS, Name, Names, name_shard};

use super::*;

fn capturing() -> Assembler {
    Assembler::new(name("shop/bot"), Role::Sidecar).capturing(true)
}

fn give(assembler: &mut Assembler, resource: Resource) -> Settled {
    assembler.offer(resource.key(), Some(resource)).unwrap();
    assembler.settle(Time::ZERO)
}

fn absent(assembler: &mut Assembler, key: &str) -> Settled {
    assembler.offer(key.parse().unwrap(), None).unwrap();
    assembler.settle(Time::ZERO)
}

fn names(services: &[(&str, &str)]) -> Vec<Resource> {
    let names = services.iter().map(|(service, address)| {
        let shard = {
            let service = name(service);
            name_shard(&service.namespace, &service.name)
        };
        let addresses = vec![address.parse().unwrap()];
        let names = vec![Name { service: name(service), addresses, ports: vec![80], alias: None }];
        Resource::Names(Names { shard, names })
    });
    names.collect()
}

#[test]
fn who_does_not_capture_needs_no_names_and_calls_nothing() {
    let mut assembler = Assembler::new(name("shop/bot"), Role::Sidecar);
    assert!(!assembler.call(name("shop/web")));
    assert_eq!(assembler.needed_keys().len(), 4);
    assert_eq!(assembler.settle(Time::ZERO).config.unwrap().names.len(), 0);
}

#[test]
fn a_called_service_is_a_destination_once_everything_is_known() {
    let mut assembler = capturing();
    assert_eq!(assembler.needed_keys().len(), 4 + usize::from(NAME_SHARDS));
    assert!(assembler.call(name("shop/web")));
    assert!(!assembler.call(name("shop/web")));
    assert_eq!(assembler.changed_needs().unwrap().len(), 8 + usize::from(NAME_SHARDS));
    for step in [
        |a: &mut Assembler| give(a, service("shop/web", AppProtocol::Http1)),
        |a: &mut Assembler| give(a, endpoints("shop/web", &[(1, "v1")])),
        |a: &mut Assembler| absent(a, "Routes/shop/web"),
    ] {
        if let Some(config) = step(&mut assembler).config {
            assert!(config.destinations.is_empty(), "a request must not miss routes that are on their way");
        }
        assert!(!assembler.knows_called(&name("shop/web")));
    }
    let config = absent(&mut assembler, "Routes/shop/web@shop").config.unwrap();
    assert!(assembler.knows_called(&name("shop/web")));
    let destination = &config.destinations[&port_of("shop/web")];
    assert_eq!(destination.cluster.endpoints.load().endpoints.len(), 1);
    assembler.forget_call(&name("shop/web"));
    assert!(assembler.settle(Time::ZERO).config.unwrap().destinations.is_empty());
    assert_eq!(assembler.changed_needs().unwrap().len(), 4 + usize::from(NAME_SHARDS));
}

#[test]
fn a_service_that_does_not_exist_is_known_and_no_destination() {
    let mut assembler = capturing();
    assembler.call(name("shop/none"));
    for kind in ["Service/shop/none", "Endpoints/shop/none", "Routes/shop/none", "Routes/shop/none@shop"] {
        absent(&mut assembler, kind);
    }
    assert!(assembler.knows_called(&name("shop/none")));
    assert!(assembler.config.destinations.is_empty());
}

#[test]
fn names_are_complete_when_the_last_shard_is_known() {
    let mut assembler = capturing();
    let names = names(&[("shop/web", "240.240.0.1")]);
    let of_web = names[0].key();
    let config = give(&mut assembler, names[0].clone()).config.unwrap();
    assert!(config.names.at("240.240.0.1".parse().unwrap()).is_some() && !config.names.is_complete());
    let others: Vec<Key> = (0..NAME_SHARDS).map(Key::Names).filter(|key| *key != of_web).collect();
    let mut last = None;
    for key in others {
        last = absent(&mut assembler, &key.to_string()).config;
    }
    assert!(last.unwrap().names.is_complete());
    // What did not change is taken over as it is.
    let before = Arc::clone(&assembler.config.names);
    let config = give(&mut assembler, service("shop/web", AppProtocol::Http1)).config.unwrap();
    assert!(Arc::ptr_eq(&config.names, &before));
    let config = absent(&mut assembler, &of_web.to_string()).config.unwrap();
    assert!(config.names.named("shop", "web").is_none() && config.names.is_complete());
}

#[test]
fn a_snapshot_without_services_is_complete() {
    let mut assembler = capturing();
    assembler.assume_complete();
    assert!(assembler.settle(Time::ZERO).config.unwrap().names.is_complete());
}

#[test]
fn of_too_many_those_called_longest_ago_are_let_go() {
    let mut assembler = capturing();
    let of = |number: u64| name(&format!("shop/s{number:04}"));
    (0..1_000).for_each(|number| assert!(assembler.call(of(number))));
    // The number of the newest is the smallest, as its name is: it is the time that counts.
    let used = |service: &ObjectName| 10_000 - service.name[1..].parse::<u64>().unwrap();
    assert!(!assembler.forget_oldest_calls(used));
    let full = assembler.needed_keys().len();
    (1_000..1_005).for_each(|number| assert!(assembler.call(of(number))));
    assert!(assembler.forget_oldest_calls(used));
    assert_eq!(assembler.needed_keys().len(), full);
    for number in [0, 999] {
        assert!(!assembler.call(of(number)), "{number} was kept");
    }
    assert!(assembler.call(of(1_000)) && assembler.call(of(1_004)), "those were let go");
}
