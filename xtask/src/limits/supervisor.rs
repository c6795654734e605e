//! The supervisor.

use super::{Row, Section};

/// The supervisor.
pub const SUPERVISOR: Section = Section {
    title: "The supervisor",
    rows: &[
        Row {
            what: "pause before a restart",
            number: "{/supervisor/backoff FIRST} to {/supervisor/backoff LONGEST} (the control plane: 5 s); forgotten after {/supervisor/backoff HEALTHY} of health",
            setting: "–",
            beyond: "–",
            test: "`supervisor/backoff.rs`",
        },
        Row {
            what: "time for the first word of a proxy that starts",
            number: "{-proxy/control/handover READY}",
            setting: "–",
            beyond: "killed, and started again",
            test: "`role/tests.rs` a_proxy_that_never…",
        },
        Row {
            what: "time to drain: gateways and proxies, commands, control plane",
            number: "{/supervisor/stop DRAIN}, {/supervisor/stop COMMAND}, {/supervisor/stop CONTROL_PLANE}",
            setting: "–",
            beyond: "killed",
            test: "`supervisor.rs`",
        },
        Row {
            what: "log of one process",
            number: "{/supervisor/home LONGEST_LOG b}",
            setting: "–",
            beyond: "set aside as `….1`, the older one is gone",
            test: "`home.rs` long_logs_are_set_aside…",
        },
        Row {
            what: "line of a command's output",
            number: "{/supervisor/lines LONGEST_LINE b}",
            setting: "–",
            beyond: "broken in two",
            test: "`lines.rs` lines_long_lines…",
        },
        Row {
            what: "descriptors kept for one proxy",
            number: "{-net/store DEFAULT_LIMIT}",
            setting: "–",
            beyond: "the newest is closed; its port may change at a restart",
            test: "`byrnie-net/src/store.rs` the_store_replaces_by_name_and_is_bounded",
        },
    ],
};
