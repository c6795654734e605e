//! Certificates.

use super::{Row, Section};

/// Identity.
pub const IDENTITY: Section = Section {
    title: "Identity",
    rows: &[
        Row {
            what: "life of a workload's certificate",
            number: "24 h (10 s to 720 h)",
            setting: "`Mesh.spec.certificates.lifetime`",
            beyond: "renewed at 50–70 %",
            test: "`svid/tests.rs` renewal_falls…",
        },
        Row {
            what: "life of a credential; outstanding ones",
            number: "{-control/authority CREDENTIAL_LIFETIME}, one use; {-identity/attest MAX_OUTSTANDING_CREDENTIALS}",
            setting: "–",
            beyond: "`BYR0321`; `BYR0323`",
            test: "`attest/tests.rs`",
        },
        Row {
            what: "certificate request",
            number: "{-identity/csr MAX_REQUEST b}",
            setting: "–",
            beyond: "`BYR0306`",
            test: "`ca/tests.rs` bad_requests…",
        },
        Row {
            what: "certificates signed",
            number: "{-control/authority SIGN_RATE} a second, {-control/authority SIGN_BURST} at once",
            setting: "–",
            beyond: "`BYR0325`, tried again; `byrnie_control_certificates_refused_total`",
            test: "`src/authority.rs` certificates_are_signed…",
        },
        Row {
            what: "a peer's chain; a certificate of it",
            number: "{-identity/verify MAX_CHAIN}; {-identity/verify MAX_CERTIFICATE b}",
            setting: "–",
            beyond: "`BYR0330`, before any signature is checked",
            test: "`verify/tests.rs` chains_are_bounded…",
        },
        Row {
            what: "clocks of two machines may differ by",
            number: "{-identity/ca CLOCK_SKEW}",
            setting: "–",
            beyond: "`BYR0333`",
            test: "`verify/tests.rs` peers_are_judged…",
        },
    ],
};
