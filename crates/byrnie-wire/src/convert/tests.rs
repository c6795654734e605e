//! Round trips of every resource, and every way a reader must refuse.

#[path = "../../../../fuzz/driver.rs"]
mod driver;
mod refusals;
mod strategies;

use byrnie_plan::{AccessLog, AppProtocol, Key, MeshSettings, ObjectName, Resource, Service, ServicePort};
use proptest::prelude::*;

use super::{decode, encode};
use crate::version::Version;

fn round_trip(resource: &Resource) -> Result<(), TestCaseError> {
    let encoded = encode(resource);
    prop_assert_eq!(&encode(&resource.clone()), &encoded, "the encoding is deterministic");
    let read = decode(&resource.key(), encoded.version, &encoded.bytes);
    prop_assert_eq!(read.as_ref(), Ok(resource));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_resource_round_trips(resource in strategies::resource()) {
        round_trip(&resource)?;
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(decode(&Key::TrustBundle, Version::ABSENT, &bytes).is_err());
    }

    #[test]
    fn a_changed_byte_is_refused(
        resource in strategies::resource(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let encoded = encode(&resource);
        let mut bytes = encoded.bytes.to_vec();
        bytes[at.index(encoded.bytes.len())] ^= 1 << bit;
        prop_assert!(decode(&resource.key(), encoded.version, &bytes).is_err());
    }
}

#[test]
fn defaults_round_trip() {
    let settings = Resource::MeshSettings(Box::new(MeshSettings {
        access_log: AccessLog::All,
        ..MeshSettings::default()
    }));
    round_trip(&settings).unwrap();
    round_trip(&Resource::MeshSettings(Box::default())).unwrap();
}

/// A release that changes these bytes makes every proxy fetch everything anew: only on purpose.
#[test]
fn the_encoding_is_pinned() {
    let service = Resource::Service(Box::new(Service {
        name: ObjectName::new("shop", "web"),
        ports: vec![ServicePort { name: "http".into(), port: 80, protocol: AppProtocol::Http1 }],
        settings: Default::default(),
        controls: None,
        overrides: byrnie_plan::InboundOverrides::default(),
    }));
    assert_eq!(encode(&service).version.to_string(), "57be8b5cf6ab6f53722304cc257d5a71");
}

/// What is read is written as something that is read again, the same.
#[test]
fn fuzz_wire() {
    use prost::Message;
    driver::drive("wire", |input| {
        let Ok(message) = crate::generated::Resource::decode(input) else { return };
        let Ok(resource) = super::from_proto(message) else { return };
        let again = crate::generated::Resource::decode(&*encode(&resource).bytes).unwrap();
        assert_eq!(super::from_proto(again), Ok(resource));
    });
}
