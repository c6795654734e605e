//! What is kept apart: copies from requests, and wishes from those who may not have any.

use byrnie_plan::{Mirror, Override};

use super::*;

fn mirrored(to: &str) -> HttpTable {
    let mut table = table(RouteKind::Http, everything(), vec![backend("shop/web", None)]);
    let target = backend(to, None).target;
    table.rules[0].filters = vec![Filter::Mirror(Mirror { target, numerator: 1, denominator: 1 })];
    table
}

fn copies(bench: &Bench) -> Arc<Cluster> {
    let destination = bench.destination("shop/web").unwrap();
    let rule = &destination.http.as_ref().unwrap().rules[0];
    Arc::clone(rule.filters.mirrors[0].cluster.as_ref().unwrap())
}

#[test]
fn copies_have_endpoints_of_their_own() {
    let mut bench = Bench::calling_web();
    bench.offer(routes("shop/web", None, mirrored("shop/web")));
    let (requests, copied) = (bench.cluster("shop/web"), copies(&bench));
    assert!(!Arc::ptr_eq(&requests, &copied) && !Arc::ptr_eq(&requests.budget, &copied.budget));
    assert_eq!(ports(&requests), ports(&copied));
    let (one, other) = (first(&requests), first(&copied));
    assert!(one.id != other.id && one.peer.id != other.peer.id, "no pool, no limit, no load is shared");

    // They come and go with the service's; what stays keeps its state.
    bench.offer(endpoints("shop/web", &[(1, "v1"), (3, "v1")]));
    assert_eq!((ports(&requests), ports(&copied)), (vec![1, 3], vec![1, 3]));
    assert_eq!((first(&requests).id, first(&copied).id), (one.id, other.id));
    assert_eq!(bench.vanished.len(), 2, "one of each");
    // Without a mirror its endpoints are gone, and the requests' are not.
    let plain = table(RouteKind::Http, everything(), vec![backend("shop/web", None)]);
    bench.offer(routes("shop/web", None, plain));
    let gone: Vec<u64> = bench.vanished.iter().skip(2).map(|endpoint| endpoint.id).collect();
    assert!(gone.len() == 2 && gone.contains(&other.id) && !gone.contains(&one.id), "{gone:?}");
}

#[test]
fn a_wish_leads_to_what_a_policy_offers() {
    let mut bench = Bench::calling_web();
    assert!(bench.destination("shop/web").unwrap().overrides.is_empty());
    let Resource::Upstreams(mut allowed) = upstreams(&["shop/web"]) else { panic!() };
    let targets = vec![port_of("shop/staged")];
    allowed.overrides = vec![Override { service: name("shop/web"), targets }];
    bench.offer(Resource::Upstreams(allowed));
    assert!(bench.needs("Service/shop/staged") && bench.needs("Endpoints/shop/staged"));
    bench.offer(service("shop/staged", AppProtocol::Http1));
    bench.offer(endpoints("shop/staged", &[(7, "v1")]));
    let destination = bench.destination("shop/web").unwrap();
    assert_eq!(destination.overrides.iter().map(|cluster| ports(cluster)).collect::<Vec<_>>(), [[7]]);
    bench.offer(upstreams(&["shop/web"]));
    assert!(bench.destination("shop/web").unwrap().overrides.is_empty());
    assert!(!bench.needs("Service/shop/staged"));
}
