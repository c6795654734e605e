use byrnie_plan::{AuthorizationRule, Operation, Source, TextMatch};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const WEB: PeerView<'_> = PeerView { id: "spiffe://cluster.local/ns/shop/sa/web", namespace: "shop" };
const JOB: PeerView<'_> = PeerView { id: "spiffe://cluster.local/ns/batch/sa/job", namespace: "batch" };

fn get(path: &str) -> Option<HttpOperation<'_>> {
    Some(HttpOperation { method: Some("GET"), path: Some(path) })
}

fn exact(text: &str) -> Vec<TextMatch> {
    vec![TextMatch::Exact(text.to_owned())]
}

fn policy(name: &str, action: Action, rules: Vec<AuthorizationRule>) -> AuthorizationPolicy {
    AuthorizationPolicy { name: name.to_owned(), action, rules, dry_run: false }
}

fn from(source: Source) -> AuthorizationRule {
    AuthorizationRule { from: vec![source], to: Vec::new() }
}

fn to(operation: Operation) -> AuthorizationRule {
    AuthorizationRule { from: Vec::new(), to: vec![operation] }
}

#[test]
fn the_default_decides_without_policies() {
    for (default, peer, decision) in [
        (DefaultAction::AllowAll, None, Decision::Allow),
        (DefaultAction::AllowAuthenticated, None, Decision::Deny),
        (DefaultAction::AllowAuthenticated, Some(WEB), Decision::Allow),
        (DefaultAction::Deny, Some(WEB), Decision::Deny),
    ] {
        let authorizer = Authorizer::compile(&[], default);
        let verdict = authorizer.check(peer, None, 80);
        assert_eq!(
            (verdict.decision, verdict.reason, verdict.policy),
            (decision, Reason::Default, DEFAULT_POLICY)
        );
    }
}

#[test]
fn deny_beats_allow_and_the_verdict_names_who_decided() {
    let web = Source { identities: exact(WEB.id), ..Source::default() };
    let admin = Operation { paths: vec![TextMatch::Prefix("/admin".to_owned())], ..Operation::default() };
    let policies = [
        policy("shop/allow-web", Action::Allow, vec![from(web)]),
        policy("shop/no-admin", Action::Deny, vec![to(admin)]),
    ];
    let authorizer = Authorizer::compile(&policies, DefaultAction::AllowAll);
    for (peer, path, decision, reason, policy) in [
        (Some(WEB), "/", Decision::Allow, Reason::Allowed, "shop/allow-web"),
        (Some(WEB), "/admin/x", Decision::Deny, Reason::Denied, "shop/no-admin"),
        (Some(JOB), "/", Decision::Deny, Reason::NotAllowed, "shop/allow-web"),
        (None, "/", Decision::Deny, Reason::NotAllowed, "shop/allow-web"),
    ] {
        let verdict = authorizer.check(peer, get(path), 80);
        assert_eq!((verdict.decision, verdict.reason, verdict.policy), (decision, reason, policy), "{path}");
    }
}

#[test]
fn a_policy_without_rules_matches_nothing_and_an_empty_rule_everything() {
    let check = |policies: &[AuthorizationPolicy]| {
        Authorizer::compile(policies, DefaultAction::AllowAll).check(None, get("/"), 80).decision
    };
    assert_eq!(check(&[policy("a", Action::Allow, vec![])]), Decision::Deny);
    assert_eq!(check(&[policy("a", Action::Deny, vec![])]), Decision::Allow);
    assert_eq!(check(&[policy("a", Action::Allow, vec![AuthorizationRule::default()])]), Decision::Allow);
    assert_eq!(check(&[policy("a", Action::Deny, vec![AuthorizationRule::default()])]), Decision::Deny);
}

#[test]
fn who_has_no_identity_is_no_exception() {
    let others = Source { not_identities: exact(WEB.id), ..Source::default() };
    let allow = [policy("a", Action::Allow, vec![from(others.clone())])];
    let allow = Authorizer::compile(&allow, DefaultAction::Deny);
    assert!(allow.check(Some(JOB), None, 80).is_allowed());
    assert!(!allow.check(Some(WEB), None, 80).is_allowed());
    assert!(!allow.check(None, None, 80).is_allowed());
    let deny = Authorizer::compile(&[policy("d", Action::Deny, vec![from(others)])], DefaultAction::AllowAll);
    assert!(!deny.check(Some(JOB), None, 80).is_allowed());
    assert!(deny.check(Some(WEB), None, 80).is_allowed());
    assert!(!deny.check(None, None, 80).is_allowed());
}

#[test]
fn what_is_not_http_or_not_readable_fails_closed() {
    let operation = Operation { paths: exact("/open"), ports: vec![80], ..Operation::default() };
    let allow = [policy("a", Action::Allow, vec![to(operation.clone())])];
    let allow = Authorizer::compile(&allow, DefaultAction::Deny);
    let deny =
        Authorizer::compile(&[policy("d", Action::Deny, vec![to(operation)])], DefaultAction::AllowAll);
    // Of a path that is not UTF-8 or was refused, only the method is known.
    let unreadable = Some(HttpOperation { method: Some("GET"), path: None });
    for operation in [None, unreadable] {
        assert!(!allow.check(Some(WEB), operation, 80).is_allowed());
        assert!(!deny.check(Some(WEB), operation, 80).is_allowed());
        // The port is known, and it is another one.
        assert!(deny.check(Some(WEB), operation, 81).is_allowed());
    }
    assert!(allow.check(Some(WEB), get("/open"), 80).is_allowed());
    assert!(deny.check(Some(WEB), get("/other"), 80).is_allowed());
}

#[test]
fn patterns_are_compared_in_normal_form() {
    let operation =
        Operation { paths: vec![TextMatch::Prefix("/gehör%3a%7e".to_owned())], ..Operation::default() };
    let deny =
        Authorizer::compile(&[policy("d", Action::Deny, vec![to(operation)])], DefaultAction::AllowAll);
    let crate::Normalized::Owned(path) = crate::normalize_path("/gehör%3A~/x".as_bytes()) else {
        panic!("as it was")
    };
    assert!(!deny.check(None, get(&path), 80).is_allowed());
}

#[test]
fn audits_and_dry_runs_report_and_decide_nothing() {
    let web = || Source { identities: exact(WEB.id), ..Source::default() };
    let dry =
        |name: &str, action, rules| AuthorizationPolicy { dry_run: true, ..policy(name, action, rules) };
    let policies = [
        policy("a-audit", Action::Audit, vec![from(web())]),
        dry("b-dry-deny", Action::Deny, vec![from(web())]),
        dry(
            "c-dry-allow",
            Action::Allow,
            vec![to(Operation { paths: exact("/ok"), ..Operation::default() })],
        ),
        dry(
            "d-dry-allow",
            Action::Allow,
            vec![to(Operation { paths: exact("/too"), ..Operation::default() })],
        ),
    ];
    let authorizer = Authorizer::compile(&policies, DefaultAction::AllowAll);
    for (peer, path, audits) in [
        (Some(JOB), "/ok", vec![]),
        (Some(JOB), "/too", vec![]),
        (Some(JOB), "/x", vec!["c-dry-allow", "d-dry-allow"]),
        (Some(WEB), "/ok", vec!["a-audit", "b-dry-deny"]),
    ] {
        let verdict = authorizer.check(peer, get(path), 80);
        assert_eq!(verdict.decision, Decision::Allow);
        assert_eq!(verdict.audits.to_vec(), audits, "{path}");
    }
}

#[test]
fn of_many_policies_those_that_name_others_are_not_looked_at() {
    let naming = |number: usize, action| {
        let identities = vec![TextMatch::Exact(format!("spiffe://cluster.local/ns/n{number}/sa/{number}"))];
        let namespaces = vec![TextMatch::Exact(format!("n{number}"))];
        let source = match number % 2 {
            0 => Source { identities, ..Source::default() },
            _ => Source { namespaces, ..Source::default() },
        };
        policy(&format!("p{number:04}"), action, vec![from(source)])
    };
    let mut policies: Vec<_> = (0..1000).map(|number| naming(number, Action::Allow)).collect();
    policies.push(policy("q", Action::Deny, vec![to(Operation { ports: vec![81], ..Operation::default() })]));
    let authorizer = Authorizer::compile(&policies, DefaultAction::Deny);
    let index = authorizer.index.as_ref().unwrap();
    for number in [0, 1, 500, 999] {
        let (id, namespace) =
            (format!("spiffe://cluster.local/ns/n{number}/sa/{number}"), format!("n{number}"));
        let peer = Some(PeerView { id: &id, namespace: &namespace });
        assert_eq!(index.candidates(peer).collect::<Vec<_>>(), [number, 1000]);
        let verdict = authorizer.check(peer, get("/"), 80);
        assert_eq!((verdict.reason, verdict.policy), (Reason::Allowed, format!("p{number:04}").as_str()));
        assert_eq!(authorizer.check(peer, get("/"), 81).policy, "q");
    }
    assert_eq!(index.candidates(None).collect::<Vec<_>>(), [1000]);
    assert_eq!(authorizer.check(Some(WEB), get("/"), 80).policy, "p0000");
}

// The documentation of the plan's types, taken word by word.
mod reference {
    use super::*;

    pub(super) struct Call<'a> {
        pub(super) peer: Option<PeerView<'a>>,
        pub(super) method: Option<&'a str>,
        pub(super) path: Option<&'a str>,
        pub(super) port: u16,
    }

    pub(super) fn allowed(policies: &[AuthorizationPolicy], default: DefaultAction, call: &Call<'_>) -> bool {
        let enforced: Vec<_> = policies.iter().filter(|p| !p.dry_run).collect();
        let any = |action: Action| enforced.iter().any(|p| p.action == action && matches(p, call));
        if any(Action::Deny) {
            return false;
        }
        if enforced.iter().any(|p| p.action == Action::Allow) {
            return any(Action::Allow);
        }
        match default {
            DefaultAction::AllowAll => true,
            DefaultAction::AllowAuthenticated => call.peer.is_some(),
            DefaultAction::Deny => false,
        }
    }

    fn matches(policy: &AuthorizationPolicy, call: &Call<'_>) -> bool {
        let allow = policy.action == Action::Allow;
        let mut found = false;
        for rule in &policy.rules {
            let mut who = rule.from.is_empty();
            for from in &rule.from {
                who |= source(from, call, allow);
            }
            let mut what = rule.to.is_empty();
            for to in &rule.to {
                what |= operation(to, call, allow);
            }
            found |= who && what;
        }
        found
    }

    fn source(source: &Source, call: &Call<'_>, allow: bool) -> bool {
        let id = call.peer.map(|peer| peer.id);
        let namespace = call.peer.map(|peer| peer.namespace);
        let named = |list: &[TextMatch], text: Option<&str>| {
            list.is_empty() || text.is_some_and(|text| list.iter().any(|m| is(m, text)))
        };
        let excepted = |list: &[TextMatch], text: Option<&str>| match text {
            Some(text) => list.iter().any(|m| is(m, text)),
            None => allow && !list.is_empty(),
        };
        named(&source.identities, id)
            && named(&source.namespaces, namespace)
            && !excepted(&source.not_identities, id)
            && !excepted(&source.not_namespaces, namespace)
    }

    fn operation(operation: &Operation, call: &Call<'_>, allow: bool) -> bool {
        let port = (operation.ports.is_empty() || operation.ports.contains(&call.port))
            && !operation.not_ports.contains(&call.port);
        let method = match call.method {
            Some(method) => {
                (operation.methods.is_empty() || operation.methods.iter().any(|m| m == method))
                    && !operation.not_methods.iter().any(|m| m == method)
            }
            None if operation.methods.is_empty() && operation.not_methods.is_empty() => true,
            None => !allow,
        };
        let path = match call.path {
            Some(path) => {
                (operation.paths.is_empty() || operation.paths.iter().any(|m| is(m, path)))
                    && !operation.not_paths.iter().any(|m| is(m, path))
            }
            None if operation.paths.is_empty() && operation.not_paths.is_empty() => true,
            None => !allow,
        };
        port && method && path
    }

    fn is(pattern: &TextMatch, text: &str) -> bool {
        match pattern {
            TextMatch::Exact(exact) => text == exact,
            TextMatch::Prefix(prefix) => text.starts_with(prefix.as_str()),
            TextMatch::Suffix(suffix) => text.ends_with(suffix.as_str()),
            TextMatch::Present => !text.is_empty(),
        }
    }
}

fn texts(options: &'static [&'static str]) -> impl Strategy<Value = Vec<TextMatch>> {
    let one = (select(options), 0..4u8).prop_map(|(text, kind)| match kind {
        0 => TextMatch::Exact(text.to_owned()),
        1 => TextMatch::Prefix(text.chars().take(text.len() - 1).collect()),
        2 => TextMatch::Suffix(text.chars().skip(text.len() - 2).collect()),
        _ => TextMatch::Present,
    });
    prop_oneof![3 => Just(Vec::new()), 2 => proptest::collection::vec(one, 1..3)]
}

fn rule() -> impl Strategy<Value = AuthorizationRule> {
    let ids = || texts(&["spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/batch/sa/job"]);
    let namespaces = || texts(&["shop", "batch"]);
    let source = (ids(), ids(), namespaces(), namespaces()).prop_map(
        |(identities, not_identities, namespaces, not_namespaces)| Source {
            identities,
            not_identities,
            namespaces,
            not_namespaces,
        },
    );
    let methods = || proptest::collection::vec(select(vec!["GET", "POST"]).prop_map(str::to_owned), 0..2);
    let paths = || texts(&["/a", "/a/b", "/c"]);
    let ports = || proptest::collection::vec(select(vec![80u16, 81]), 0..2);
    let operation = (methods(), methods(), paths(), paths(), ports(), ports()).prop_map(
        |(methods, not_methods, paths, not_paths, ports, not_ports)| Operation {
            methods,
            not_methods,
            paths,
            not_paths,
            ports,
            not_ports,
        },
    );
    (proptest::collection::vec(source, 0..3), proptest::collection::vec(operation, 0..3))
        .prop_map(|(from, to)| AuthorizationRule { from, to })
}

fn policies() -> impl Strategy<Value = Vec<AuthorizationPolicy>> {
    let action = select(vec![Action::Allow, Action::Deny, Action::Audit]);
    let one = (action, proptest::collection::vec(rule(), 0..3), any::<bool>(), any::<bool>()).prop_map(
        |(action, rules, a, b)| AuthorizationPolicy { name: "p".to_owned(), action, rules, dry_run: a && b },
    );
    proptest::collection::vec(one, 0..6).prop_map(|mut policies: Vec<AuthorizationPolicy>| {
        // Names tell which one decided.
        policies.iter_mut().enumerate().for_each(|(index, policy)| policy.name = format!("p{index}"));
        policies
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn agrees_with_the_reference(
        policies in policies(),
        default in select(vec![DefaultAction::AllowAll, DefaultAction::AllowAuthenticated, DefaultAction::Deny]),
        peer in select(vec![None, Some(WEB), Some(JOB)]),
        method in select(vec![None, Some("GET"), Some("POST"), Some("PUT")]),
        path in select(vec![None, Some("/a"), Some("/a/b"), Some("/c"), Some("/")]),
        port in select(vec![80u16, 81, 82]),
    ) {
        let authorizer = Authorizer::compile(&policies, default);
        let indexed = Authorizer::indexed_above(0, &policies, default);
        let verdict = authorizer.check(peer, Some(HttpOperation { method, path }), port);
        // Looked up or one by one, the answer is the same word for word.
        let looked_up = indexed.check(peer, Some(HttpOperation { method, path }), port);
        prop_assert!(looked_up == verdict, "{looked_up:?} {verdict:?}");
        let call = reference::Call { peer, method, path, port };
        prop_assert_eq!(verdict.is_allowed(), reference::allowed(&policies, default, &call));
        let steps = authorizer.steps(peer, Some(HttpOperation { method, path }), port);
        prop_assert_eq!(steps.len(), policies.len());
    }
}
