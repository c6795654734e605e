//! The resolver, and what a proxy tells.

use super::{Row, Section};

/// The resolver of a captured workload.
pub const RESOLVER: Section = Section {
    title: "The resolver of a captured workload",
    rows: &[
        Row {
            what: "a question",
            number: "4,096 bytes, one question, 2 further records",
            setting: "–",
            beyond: "FORMERR of 12 bytes; by TCP closed",
            test: "`tests/table.rs`",
        },
        Row {
            what: "an answer by UDP",
            number: "what the client says, 512 to 1,232 bytes",
            setting: "–",
            beyond: "cut (TC), whole by TCP",
            test: "`tests/table.rs` sizes_are…",
        },
        Row {
            what: "how long an answer may be kept; that there is none",
            number: "30 s; 5 s",
            setting: "`Mesh.spec.proxy.dns.ttl`; –",
            beyond: "–",
            test: "`tests/table.rs`",
        },
        Row {
            what: "questions that wait for the host's resolvers",
            number: "{-plan/settings max_queries}",
            setting: "`Mesh.spec.proxy.dns.maxQueries`",
            beyond: "SERVFAIL; `dns_queries`",
            test: "`sockets.rs` silent_resolvers…",
        },
        Row {
            what: "time for the host's resolvers; for one of them",
            number: "{-plan/settings timeout}; {-proxy/dns/upstream TRY}",
            setting: "`Mesh.spec.proxy.dns.timeout`; –",
            beyond: "SERVFAIL",
            test: "`sockets.rs` silent_resolvers…",
        },
        Row {
            what: "resolvers of the host that are asked",
            number: "3",
            setting: "–",
            beyond: "as the C library",
            test: "`tests/table.rs` the_hosts_resolvers",
        },
        Row {
            what: "a resolver that leads back to us",
            number: "not asked for 60 s",
            setting: "–",
            beyond: "`BYR0280` in the log; result `looped`",
            test: "`sockets.rs` a_resolver_that…",
        },
        Row {
            what: "connections; silence; a slow question or answer",
            number: "64; 10 s; 5 s",
            setting: "–",
            beyond: "closed; `dns_connections`",
            test: "`sockets.rs` connections_are…",
        },
        Row {
            what: "aliases of aliases",
            number: "8",
            setting: "–",
            beyond: "SERVFAIL",
            test: "`tests/table.rs` an_alias_leads_on",
        },
    ],
};

/// What a proxy sees and tells.
pub const TELLING: Section = Section {
    title: "What a proxy sees and tells",
    rows: &[
        Row {
            what: "series of requests and connections",
            number: "2,000",
            setting: "–",
            beyond: "one series named `overflow`; `byrnie_metrics_overflow_total`",
            test: "`registry/tests.rs`",
        },
        Row {
            what: "a label's value",
            number: "{-telemetry/cells LABEL_LIMIT b}",
            setting: "–",
            beyond: "cut",
            test: "`registry/tests.rs` long_label_values…",
        },
        Row {
            what: "series of one plain counter",
            number: "{-telemetry/plain SERIES_LIMIT}",
            setting: "–",
            beyond: "`overflow`",
            test: "`src/render/tests.rs`",
        },
        Row {
            what: "a series that does not change",
            number: "{-telemetry/registry IDLE_AFTER}",
            setting: "–",
            beyond: "hidden, then dropped",
            test: "`registry/tests.rs` idle_series…",
        },
        Row {
            what: "access-log lines that wait",
            number: "{-telemetry/access_log QUEUE}",
            setting: "–",
            beyond: "dropped; `byrnie_access_log_dropped_total`",
            test: "`access_log/tests.rs` a_writer_that_hangs…",
        },
        Row {
            what: "text in a log line; in a tap event",
            number: "{-telemetry/access_log TEXT_LIMIT b} each",
            setting: "–",
            beyond: "cut",
            test: "`access_log/tests.rs`, `tap/tests.rs`",
        },
        Row {
            what: "taps of a proxy; events that wait",
            number: "{-telemetry/tap TAPS}; {-telemetry/tap QUEUE}",
            setting: "–",
            beyond: "refused; dropped, `byrnie_tap_dropped_total`",
            test: "`tap/tests.rs`",
        },
        Row {
            what: "tap: requests of a proxy shown in a second",
            number: "{-control/tap RATE}",
            setting: "–",
            beyond: "not shown",
            test: "`tap/tests.rs` requests_per_second…",
        },
        Row {
            what: "connections to the admin server; its heads",
            number: "{-proxy/control/admin CONNECTIONS}; {-proxy/control/admin HEAD_LIMIT b}, {-proxy/control/admin HEADERS} lines, {-proxy/control/admin HEAD_TIMEOUT}",
            setting: "–",
            beyond: "they wait; closed",
            test: "`admin/tests.rs` connections_beyond…, heads_have…, who_says_nothing…",
        },
        Row {
            what: "memory to look the names of a profile up",
            number: "{-net/profile/stacks NAMES b}",
            setting: "–",
            beyond: "where the control group has less left there are addresses instead",
            test: "`profile/tests.rs` stacks_say_where…",
        },
        Row {
            what: "samples of a CPU profile, words; of a heap profile, blocks; one of each at once",
            number: "{-net/profile/cpu TAPE}; {-net/profile/heap HELD}",
            setting: "–",
            beyond: "left out, and said in the log; 409",
            test: "`tests/e2e/proxy_config.rs` a_busy_proxy_says_where…",
        },
    ],
};
