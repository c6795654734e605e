//! Golden files of `byrnie profile`, and that everything written can be applied.

use super::*;
use crate::cli::profile::{openapi, proto};

const WEB: Target<'static> = Target { namespace: "emojivoto", service: "web-svc", port: 80 };
const SMALL: &str = include_str!("../../../../tests/golden/profile/emojivoto.yaml");
const FULL: &str = include_str!("../../../../tests/golden/profile/shop.openapi.json");
const VOTING: &str = include_str!("../../../../tests/golden/profile/voting.proto");

fn operations(text: &str) -> Vec<Operation> {
    openapi::operations(text, "f").unwrap()
}

#[test]
fn the_shape_of_linkerd() {
    let expected = include_str!("../../../../tests/golden/profile/emojivoto.service-profile.golden");
    assert_eq!(render(&operations(SMALL), WEB, ProfileFormat::ServiceProfile), expected);
}

#[test]
fn everything_that_a_description_says() {
    let shop = Target { namespace: "shop", service: "web", port: 8080 };
    let expected = include_str!("../../../../tests/golden/profile/shop.service-profile.golden");
    assert_eq!(render(&operations(FULL), shop, ProfileFormat::ServiceProfile), expected);
    let expected = include_str!("../../../../tests/golden/profile/shop.http-route.golden");
    assert_eq!(render(&operations(FULL), shop, ProfileFormat::HttpRoute), expected);
}

#[test]
fn services_of_protobuf() {
    let voting = Target { namespace: "emojivoto", service: "voting-svc", port: 8080 };
    let operations = proto::operations(VOTING, "voting.proto").unwrap();
    assert_eq!(fitting(&operations), ProfileFormat::GrpcRoute);
    let expected = include_str!("../../../../tests/golden/profile/voting.grpc-route.golden");
    assert_eq!(render(&operations, voting, ProfileFormat::GrpcRoute), expected);
    let expected = include_str!("../../../../tests/golden/profile/voting.service-profile.golden");
    assert_eq!(render(&operations, voting, ProfileFormat::ServiceProfile), expected);
}

#[test]
fn nothing_in_it() {
    assert!(render(&[], WEB, ProfileFormat::ServiceProfile).ends_with("spec:\n  routes: []\n"));
    assert_eq!(fitting(&[]), ProfileFormat::HttpRoute);
}

/// Any description becomes objects that `apply` takes without a word, and at most sixteen rules stand in each.
#[test]
fn what_is_written_can_be_applied() {
    let many =
        |call: fn(usize) -> Call| -> Vec<Operation> { (0..40).map(|i| Operation::new(call(i))).collect() };
    let http = |i| Call::Http { method: "GET".into(), path: format!("/wide/{{x}}/ü {i}/a~b(c)") };
    let exact = |i| Call::Http { method: "PUT".into(), path: format!("/ä ö/{i}|[x]") };
    let grpc = |i| Call::Grpc { service: "a.b.C".into(), method: format!("Do{i}") };
    for (operations, format) in [
        (many(http), ProfileFormat::HttpRoute),
        (many(exact), ProfileFormat::HttpRoute),
        (many(grpc), ProfileFormat::HttpRoute),
        (many(grpc), ProfileFormat::GrpcRoute),
        (operations(FULL), ProfileFormat::HttpRoute),
    ] {
        let text = render(&operations, WEB, format);
        let reading = byrnie_api::read_documents(&text, "profile.yaml");
        assert_eq!(reading.findings, [], "{text}");
        let rules =
            |object: &byrnie_api::Object| object.as_map()["spec"]["rules"].as_array().map_or(0, Vec::len);
        let counts: Vec<usize> = reading.objects.iter().map(|(object, _)| rules(object)).collect();
        assert!(counts.iter().all(|count| *count <= 16), "{counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), operations.len() + 1);
    }
}

#[test]
fn patterns_and_names() {
    for (path, expected) in [
        ("/api/list", "/api/list"),
        ("/a.b/{id}", r"/a\.b/[^/]*"),
        ("/{a}/{b}.json", r"/[^/]*/[^/]*\.json"),
        ("/a{b", r"/a\{b"),
        ("/a+b$", r"/a\+b\$"),
    ] {
        assert_eq!(pattern(path), expected);
    }
    for (title, expected) in [
        ("GET /api/list", "get-api-list"),
        ("GET /", "get"),
        ("VoteDoughnut", "vote-doughnut"),
        ("GET /a/{userId}", "get-a-user-id"),
        ("GET /ü", "get"),
    ] {
        assert_eq!(slug(title), expected);
    }
    let mut names = BTreeSet::new();
    assert_eq!(
        (unique(&mut names, "a"), unique(&mut names, "a"), unique(&mut names, "")),
        ("a".into(), "a-2".into(), "rule".into())
    );
}

#[test]
fn what_a_format_cannot_say_is_said() {
    let retryable = Operation {
        retryable: true,
        ..Operation::new(Call::Http { method: "POST".into(), path: "/a".into() })
    };
    assert_eq!(remarks(std::slice::from_ref(&retryable), ProfileFormat::HttpRoute).len(), 1);
    assert!(remarks(&[retryable], ProfileFormat::ServiceProfile).is_empty());
    let call = Call::Grpc { service: "S".into(), method: "M".into() };
    let odd = Operation { timeout: Some("soon".into()), ..Operation::new(call) };
    assert_eq!(remarks(&[odd], ProfileFormat::GrpcRoute).len(), 2);
}
