//! Any resource that the compiler could make.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

mod controls;

fn boxed_controls() -> impl Strategy<Value = Option<Box<Controls>>> {
    of(controls::controls().prop_map(Box::new))
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,8}"
}

fn any_text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn some_text() -> impl Strategy<Value = String> {
    "\\PC{1,12}"
}

fn object() -> impl Strategy<Value = ObjectName> {
    (word(), word()).prop_map(|(namespace, name)| ObjectName::new(namespace, name))
}

fn identity() -> impl Strategy<Value = WorkloadIdentity> {
    (word(), word(), word()).prop_map(|(trust_domain, namespace, service_account)| WorkloadIdentity {
        trust_domain,
        namespace,
        service_account,
    })
}

fn port() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), port()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), any::<u64>().prop_map(Duration::from_nanos)]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((some_text(), any_text()), 0..3)
}

fn protocol() -> impl Strategy<Value = AppProtocol> {
    use AppProtocol::*;
    prop::sample::select(vec![Detect, Http1, Http2, Grpc, Tcp, Tls])
}

/// Sorted by port, each once.
fn by_port<T: std::fmt::Debug>(
    item: impl Strategy<Value = T>,
    port: fn(&T) -> u16,
) -> impl Strategy<Value = Vec<T>> {
    vec(item, 0..4).prop_map(move |mut items| {
        items.sort_by_key(port);
        items.dedup_by_key(|item| port(item));
        items
    })
}

fn service() -> impl Strategy<Value = Service> {
    let ports = (any_text(), port(), protocol());
    let ports = ports.prop_map(|(name, port, protocol)| ServicePort { name, port, protocol });
    (object(), by_port(ports, |port| port.port), settings(), boxed_controls(), overrides()).prop_map(
        |(name, ports, settings, controls, overrides)| Service {
            name,
            ports,
            settings: settings.into(),
            controls,
            overrides,
        },
    )
}

fn settings() -> impl Strategy<Value = TrafficSettings> {
    let limits = any::<(u32, u32, u32)>().prop_map(|(max_connections, max_pending, max_in_flight)| {
        ConnectionLimits { max_connections, max_pending, max_in_flight }
    });
    let times = (duration(), of(duration()), of(duration()), of(duration()), duration());
    let near = (of(locality()), of(session()));
    let parts = (balancer(), times, retry(), limits, of(outlier()), near);
    parts.prop_map(|(balancer, times, retry, limits, outlier, (locality, session))| {
        let (connect_timeout, request_timeout, idle_timeout, slow_start, retry_after_max) = times;
        TrafficSettings {
            balancer,
            connect_timeout,
            request_timeout,
            idle_timeout,
            retry,
            limits,
            outlier,
            slow_start,
            locality,
            session,
            retry_after_max,
        }
    })
}

fn outlier() -> impl Strategy<Value = Outlier> {
    let rate = any::<[u32; 4]>().prop_map(|[a, b, c, d]| SuccessRateOutlier {
        minimum_endpoints: a,
        minimum_requests: b,
        deviation_thousandths: c,
        threshold_percent: d,
    });
    let latency = (any::<[u32; 3]>(), duration()).prop_map(|([a, b, c], minimum)| LatencyOutlier {
        minimum_endpoints: a,
        minimum_requests: b,
        factor_percent: c,
        minimum,
    });
    (any::<(u32, u32)>(), duration(), duration(), duration(), of(rate), of(latency)).prop_map(
        |(
            (consecutive_failures, panic_percent),
            base_ejection,
            max_ejection,
            interval,
            success_rate,
            latency,
        )| {
            Outlier {
                consecutive_failures,
                base_ejection,
                max_ejection,
                panic_percent,
                interval,
                success_rate,
                latency,
            }
        },
    )
}

fn locality() -> impl Strategy<Value = LocalityPreference> {
    (vec(any_text(), 0..3), any::<u32>()).prop_map(|(failover, overprovisioning_percent)| {
        LocalityPreference { failover, overprovisioning_percent }
    })
}

fn session() -> impl Strategy<Value = SessionPersistence> {
    use SessionCarrier::*;
    let carrier = prop::sample::select(vec![Cookie, PermanentCookie, Header]);
    (some_text(), carrier, of(duration()), of(duration())).prop_map(
        |(name, carrier, absolute_timeout, idle_timeout)| SessionPersistence {
            name,
            carrier,
            absolute_timeout,
            idle_timeout,
        },
    )
}

fn health_check() -> impl Strategy<Value = HealthCheck> {
    let protocol = prop_oneof![
        (any_text(), any_text()).prop_map(|(path, host)| HealthProtocol::Http { path, host }),
        any_text().prop_map(|service| HealthProtocol::Grpc { service }),
        Just(HealthProtocol::Tcp),
    ];
    (address(), protocol, duration(), duration(), any::<[u32; 3]>()).prop_map(
        |(address, protocol, interval, timeout, [a, b, c])| HealthCheck {
            address,
            protocol,
            interval,
            timeout,
            healthy_threshold: a,
            unhealthy_threshold: b,
            jitter_percent: c,
        },
    )
}

fn balancer() -> impl Strategy<Value = Balancer> {
    let source = || {
        prop_oneof![
            some_text().prop_map(HashSource::Header),
            some_text().prop_map(HashSource::Cookie),
            some_text().prop_map(HashSource::Query),
            Just(HashSource::SourceAddress),
        ]
    };
    prop_oneof![
        Just(Balancer::PeakEwma),
        Just(Balancer::LeastRequest),
        Just(Balancer::RoundRobin),
        Just(Balancer::Random),
        source().prop_map(Balancer::RingHash),
        source().prop_map(Balancer::Maglev),
    ]
}

fn retry() -> impl Strategy<Value = Retry> {
    let on = (vec(100u16..=999, 0..3), vec(any::<u16>(), 0..3), any::<[bool; 4]>());
    let on = on.prop_map(|(statuses, grpc_codes, [a, b, c, d])| RetryOn {
        statuses,
        grpc_codes,
        connection_error: a,
        unsafe_methods: b,
        server_errors: c,
        timeout: d,
    });
    let numbers = any::<(u32, u32, u32, bool)>();
    (on, of(duration()), duration(), duration(), numbers).prop_map(
        |(on, per_try_timeout, backoff, backoff_max, numbers)| {
            let (attempts, percent, min_per_second, other_locality) = numbers;
            Retry {
                attempts,
                on,
                per_try_timeout,
                backoff,
                backoff_max,
                budget: RetryBudget { percent, min_per_second },
                other_locality,
            }
        },
    )
}

fn endpoints() -> impl Strategy<Value = Endpoints> {
    let dialect = prop::sample::select(vec![Dialect::Byrnie, Dialect::Hbone]);
    let hop = prop_oneof![
        Just(Hop::Plaintext),
        (identity(), dialect).prop_map(|(identity, dialect)| Hop::Mesh { identity, dialect }),
    ];
    let endpoint = (object(), address(), port(), hop, any::<u32>(), (any_text(), any_text()), pairs());
    let endpoint =
        endpoint.prop_map(|(workload, address, app_port, hop, weight, (locality, uid), labels)| Endpoint {
            workload,
            address,
            app_port,
            hop,
            weight,
            locality,
            labels,
            uid,
        });
    let ports = (port(), vec(endpoint, 0..4)).prop_map(|(port, endpoints)| PortEndpoints {
        port,
        endpoints: endpoints.into_iter().map(Arc::new).collect(),
    });
    (object(), by_port(ports, |port| port.port)).prop_map(|(service, ports)| Endpoints { service, ports })
}

fn host() -> impl Strategy<Value = HostPattern> {
    prop_oneof![
        Just(HostPattern::Any),
        some_text().prop_map(HostPattern::Exact),
        some_text().prop_map(HostPattern::Wildcard),
    ]
}

fn value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![any_text().prop_map(ValueMatch::Exact), any_text().prop_map(ValueMatch::Regex)]
}

fn route_name() -> impl Strategy<Value = RouteName> {
    use RouteKind::*;
    (prop::sample::select(vec![Http, Grpc, Tcp, Tls]), object(), any_text())
        .prop_map(|(kind, route, rule)| RouteName { kind, route, rule })
}

fn target() -> impl Strategy<Value = BackendTarget> {
    use InvalidBackend::*;
    let invalid =
        prop::sample::select(vec![NotFound, InvalidKind, NotPermitted, UnsupportedFilter, TlsUnsupported]);
    prop_oneof![
        (object(), port(), pairs()).prop_map(|(service, port, subset)| BackendTarget::Service {
            service,
            port,
            subset
        }),
        invalid.prop_map(BackendTarget::Invalid),
    ]
}

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    let backend = (target(), any::<u32>(), vec(filter(), 0..2));
    vec(backend.prop_map(|(target, weight, filters)| Backend { target, weight, filters }), 0..3)
}

fn rewrite() -> impl Strategy<Value = PathRewrite> {
    prop_oneof![any_text().prop_map(PathRewrite::Full), any_text().prop_map(PathRewrite::Prefix)]
}

fn filter() -> impl Strategy<Value = Filter> {
    let headers = || {
        (pairs(), pairs(), vec(some_text(), 0..2)).prop_map(|(set, add, remove)| HeaderModifier {
            set,
            add,
            remove,
        })
    };
    let status = prop::sample::select(vec![301, 302, 303, 307, 308]);
    let redirect = (of(some_text()), of(some_text()), of(rewrite()), of(port()), status);
    let redirect = redirect.prop_map(|(scheme, hostname, path, port, status)| Redirect {
        scheme,
        hostname,
        path,
        port,
        status,
    });
    let mirror = (target(), any::<u32>(), 1..=u32::MAX);
    let mirror =
        mirror.prop_map(|(target, numerator, denominator)| Mirror { target, numerator, denominator });
    prop_oneof![
        headers().prop_map(Filter::RequestHeaders),
        headers().prop_map(Filter::ResponseHeaders),
        redirect.prop_map(Filter::Redirect),
        (of(some_text()), of(rewrite()))
            .prop_map(|(hostname, path)| Filter::Rewrite(Rewrite { hostname, path })),
        mirror.prop_map(Filter::Mirror),
        cors().prop_map(Filter::Cors),
    ]
}

fn cors() -> impl Strategy<Value = Cors> {
    let list = || vec(some_text(), 0..3);
    (list(), list(), list(), list(), any::<bool>(), any::<u32>()).prop_map(
        |(allow_origins, allow_methods, allow_headers, expose_headers, allow_credentials, max_age)| Cors {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            allow_credentials,
            max_age,
        },
    )
}

fn rule() -> impl Strategy<Value = HttpRule> {
    let timeouts = (of(duration()), of(duration()));
    let timeouts = timeouts.prop_map(|(request, backend_request)| Timeouts { request, backend_request });
    (route_name(), vec(filter(), 0..2), backends(), timeouts, of(retry()), boxed_controls()).prop_map(
        |(name, filters, backends, timeouts, retry, controls)| HttpRule {
            name,
            filters,
            backends,
            timeouts,
            retry,
            controls,
        },
    )
}

fn path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        some_text().prop_map(PathMatch::Exact),
        some_text().prop_map(PathMatch::Prefix),
        some_text().prop_map(PathMatch::Regex),
    ]
}

fn one_match(rules: u32, scopes: u32) -> impl Strategy<Value = HttpMatch> {
    let header = (some_text(), value()).prop_map(|(name, value)| HeaderMatch { name, value });
    let query = (some_text(), value()).prop_map(|(name, value)| QueryMatch { name, value });
    let one = (0..scopes, host(), path(), of(some_text()), vec(header, 0..3), vec(query, 0..3), 0..rules);
    one.prop_map(|(host_scope, host, path, method, headers, queries, rule)| HttpMatch {
        host_scope,
        host,
        path,
        method,
        headers,
        queries,
        rule,
    })
}

/// Indexes stay within the table.
fn table() -> impl Strategy<Value = HttpTable> {
    (vec(rule(), 0..3), vec(host(), 0..3)).prop_flat_map(|(rules, scopes)| {
        let count = |length: usize| u32::try_from(length.max(1)).unwrap();
        let one = one_match(count(rules.len()), count(scopes.len()));
        let most = if rules.is_empty() { 0 } else { 3 };
        (vec(one, 0..=most), Just(rules), Just(scopes)).prop_map(|(matches, rules, scopes)| HttpTable {
            matches,
            rules,
            scopes,
        })
    })
}

fn tcp() -> impl Strategy<Value = TcpRule> {
    (of(route_name()), backends(), boxed_controls()).prop_map(|(name, backends, controls)| TcpRule {
        name,
        backends,
        controls,
    })
}

fn routes() -> impl Strategy<Value = Routes> {
    let ports = (port(), of(table()), vec((host(), tcp()), 0..3));
    let ports = ports.prop_map(|(port, http, tcp)| PortRoutes { port, http, tcp });
    (object(), of(word()), by_port(ports, |port| port.port)).prop_map(|(service, client_namespace, ports)| {
        Routes { service, client_namespace: client_namespace.map(Into::into), ports }
    })
}

fn gateway() -> impl Strategy<Value = GatewayRoutes> {
    use ListenerProtocol::*;
    let protocol = prop::sample::select(vec![Http, Tcp, TlsPassthrough]);
    let listener = (
        any_text(),
        port(),
        vec(any::<IpAddr>(), 0..3),
        protocol,
        table(),
        vec((host(), tcp()), 0..3),
        overrides(),
    );
    let listener = listener.prop_map(|(name, port, addresses, protocol, http, tcp, overrides)| {
        GatewayListener { name, port, addresses, protocol, http, tcp, overrides }
    });
    (object(), vec(listener, 0..3)).prop_map(|(gateway, listeners)| GatewayRoutes { gateway, listeners })
}

fn texts() -> impl Strategy<Value = Vec<TextMatch>> {
    let one = prop_oneof![
        any_text().prop_map(TextMatch::Exact),
        some_text().prop_map(TextMatch::Prefix),
        some_text().prop_map(TextMatch::Suffix),
        Just(TextMatch::Present),
    ];
    vec(one, 0..3)
}

fn authorization() -> impl Strategy<Value = AuthorizationPolicy> {
    let source = (texts(), texts(), texts(), texts());
    let source = source.prop_map(|(identities, not_identities, namespaces, not_namespaces)| Source {
        identities,
        not_identities,
        namespaces,
        not_namespaces,
    });
    let ports = || vec(port(), 0..3);
    let methods = || vec(some_text(), 0..3);
    let operation = (methods(), methods(), texts(), texts(), ports(), ports());
    let operation = operation.prop_map(|(methods, not_methods, paths, not_paths, ports, not_ports)| {
        Operation { methods, not_methods, paths, not_paths, ports, not_ports }
    });
    let rule =
        (vec(source, 0..3), vec(operation, 0..3)).prop_map(|(from, to)| AuthorizationRule { from, to });
    let action = prop::sample::select(vec![Action::Allow, Action::Deny, Action::Audit]);
    (some_text(), action, vec(rule, 0..3), any::<bool>())
        .prop_map(|(name, action, rules, dry_run)| AuthorizationPolicy { name, action, rules, dry_run })
}

fn inbound() -> impl Strategy<Value = InboundPolicy> {
    use DefaultAction::*;
    let services = vec((object(), port()).prop_map(|(service, port)| ServicePortRef { service, port }), 0..3);
    let port = (port(), any_text(), address(), protocol(), services, overrides());
    let port = port.prop_map(|(port, name, address, protocol, services, overrides)| InboundPort {
        port,
        name,
        address,
        protocol,
        services,
        overrides,
    });
    let default_action = prop::sample::select(vec![AllowAll, AllowAuthenticated, Deny]);
    let controls = (of(object()), controls::controls())
        .prop_map(|(service, controls)| InboundControls { service, controls });
    let lists = (vec(port, 0..3), vec(authorization(), 0..3), vec(controls, 0..3));
    let own = (any_text(), vec(health_check(), 0..3), overrides());
    (object(), identity(), lists, default_action, own).prop_map(
        |(workload, identity, (ports, authorization, controls), default_action, own)| InboundPolicy {
            locality: own.0,
            health_checks: own.1,
            overrides: own.2,
            workload,
            identity,
            ports,
            authorization: authorization.into(),
            default_action,
            controls,
        },
    )
}

fn proxy_header() -> impl Strategy<Value = ProxyHeader> {
    prop::sample::select(vec![ProxyHeader::Off, ProxyHeader::V1, ProxyHeader::V2])
}

fn overrides() -> impl Strategy<Value = InboundOverrides> {
    let forwarded = vec![ForwardedHeaders::Append, ForwardedHeaders::Replace, ForwardedHeaders::Off];
    let switches = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(proxy_header()));
    let number = || of(any::<u32>());
    let numbers = (number(), number(), number(), number(), number());
    let times = (of(duration()), of(duration()), of(duration()));
    (of(prop::sample::select(forwarded)), switches, numbers, times).prop_map(
        |(forwarded_headers, switches, numbers, times)| InboundOverrides {
            forwarded_headers,
            trusted_hops: numbers.0,
            peer_identity_header: switches.0,
            allow_connect: switches.1,
            accept_proxy_protocol: switches.2,
            send_proxy_protocol: switches.3,
            max_header_bytes: numbers.1,
            max_headers: numbers.2,
            max_concurrent_streams: numbers.3,
            max_connections: numbers.4,
            header_timeout: times.0,
            client_idle_timeout: times.1,
            detect_timeout: times.2,
        },
    )
}

fn mesh() -> impl Strategy<Value = MeshSettings> {
    let log = prop::sample::select(vec![AccessLog::Off, AccessLog::Failed, AccessLog::All]);
    let format = prop::sample::select(vec![AccessLogFormat::Json, AccessLogFormat::Text]);
    let times = (duration(), duration(), duration(), duration(), duration(), duration(), duration());
    let numbers = (any::<(u32, u32, u32, u32, u32)>(), 0..=100u8, 0..=100u8, any::<bool>());
    let forwarded = vec![ForwardedHeaders::Append, ForwardedHeaders::Replace, ForwardedHeaders::Off];
    let edge = (prop::sample::select(forwarded), any::<u32>(), any::<(bool, bool, bool)>(), proxy_header());
    (log, format, any::<(bool, bool, bool)>(), times, numbers, edge).prop_map(
        |(access_log, access_log_format, switches, times, numbers, edge)| MeshSettings {
            access_log,
            access_log_format,
            show_policy_in_response: switches.0,
            refuse_unknown_destinations: switches.1,
            accept_plaintext: switches.2,
            detect_timeout: times.0,
            drain_timeout: times.1,
            max_header_bytes: numbers.0.0,
            max_headers: numbers.0.1,
            max_concurrent_streams: numbers.0.2,
            max_connections: numbers.0.3,
            header_timeout: times.2,
            client_idle_timeout: times.3,
            upstream_idle_timeout: times.4,
            upstream_max_age: times.5,
            peer_timeout: times.1,
            dns: DnsSettings { ttl: times.0, timeout: times.3, max_queries: numbers.0.2 },
            restart_timeout: times.6,
            max_requests: numbers.0.4,
            drain_percent: numbers.1,
            shed_percent: numbers.2,
            buffer_percent: numbers.2,
            adaptive_concurrency: numbers.3,
            forwarded_headers: edge.0,
            trusted_hops: edge.1,
            peer_identity_header: edge.2.0,
            allow_connect: edge.2.1,
            accept_proxy_protocol: edge.2.2,
            send_proxy_protocol: edge.3,
        },
    )
}

/// Any resource.
fn names() -> impl Strategy<Value = Names> {
    let name = (object(), vec(any::<IpAddr>(), 0..3), by_port(port(), |port| *port), of(word()));
    let name = name.prop_map(|(service, addresses, ports, alias)| Name { service, addresses, ports, alias });
    vec(name, 0..40).prop_map(|mut names| {
        names.sort_by(|a, b| a.service.cmp(&b.service));
        names.dedup_by(|a, b| a.service == b.service);
        let shard_of = |name: &Name| name_shard(&name.service.namespace, &name.service.name);
        let shard = names.first().map_or(0, shard_of);
        names.retain(|name| shard_of(name) == shard);
        Names { shard, names }
    })
}

pub fn resource() -> impl Strategy<Value = Resource> {
    let upstream = (object(), port()).prop_map(|(service, port)| Upstream { service, port });
    let target = (object(), port()).prop_map(|(service, port)| ServicePortRef { service, port });
    let instead = (object(), vec(target, 0..3)).prop_map(|(service, targets)| Override { service, targets });
    let upstreams = (object(), vec(upstream, 0..4), any::<bool>(), vec(instead, 0..3));
    let upstreams = upstreams.prop_map(|(workload, upstreams, http_proxy, overrides)| Upstreams {
        workload,
        upstreams,
        http_proxy,
        overrides,
    });
    let bundle = (word(), vec(vec(any::<u8>(), 1..64), 0..3));
    let bundle = bundle.prop_map(|(trust_domain, roots_der)| TrustBundle { trust_domain, roots_der });
    prop_oneof![
        service().prop_map(|service| Resource::Service(Box::new(service))),
        endpoints().prop_map(Resource::Endpoints),
        routes().prop_map(Resource::Routes),
        gateway().prop_map(Resource::GatewayRoutes),
        inbound().prop_map(|policy| Resource::InboundPolicy(Box::new(policy))),
        upstreams.prop_map(Resource::Upstreams),
        bundle.prop_map(Resource::TrustBundle),
        mesh().prop_map(|settings| Resource::MeshSettings(Box::new(settings))),
        names().prop_map(Resource::Names),
    ]
}
