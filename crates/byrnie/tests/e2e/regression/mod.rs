//! One file for each class of bugs that proxies have had, over sockets, against the shipped binary.
//!
//! What holds for each of them is said once, in [`site`]: one request at the application per request of a client, no
//! change of what is authorized, no crash, memory and processor back to where they were, and an innocent client that
//! is served meanwhile. A class that is fixed once stays here for ever.

mod frames;
mod origin;
mod site;
pub mod tls;

mod class_01_te_cl;
mod class_02_content_length;
mod class_03_chunks;
mod class_04_bodyless_methods;
mod class_05_undrained_body;
mod class_06_premature_upgrade;
mod class_07_h2c_upgrade;
mod class_08_header_names;
mod class_09_long_names;
mod class_10_downgrade;
mod class_11_nul;
mod class_13_paths;
mod class_14_fragments;
mod class_15_hosts;
mod class_19_trusted_headers;
mod class_21_sni_and_authority;
mod class_23_resumption;
mod class_25_chain_bombs;
mod class_27_rapid_reset;
mod class_28_made_you_reset;
mod class_29_continuation;
mod class_30_control_floods;
mod class_31_header_bombs;
mod class_32_slow_readers;
mod class_33_tiny_pieces;
mod class_34_descriptors;
mod class_35_many_streams;
mod class_36_oddities;
mod class_38_handshakes;
mod class_39_proxy_protocol;
mod class_44_counts;
mod class_45_admin;

/// The classes that must have a file; the numbers are those of the list that they come from.
const CLASSES: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 19, 21, 23, 25, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36,
    38, 39, 44, 45,
];

#[test]
fn every_class_has_its_file() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/regression");
    let names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("class_"))
        .collect();
    for class in CLASSES {
        let prefix = format!("class_{class:02}_");
        let file = names.iter().find(|name| name.starts_with(&prefix));
        let file = file.unwrap_or_else(|| panic!("class {class} has no file"));
        let text = std::fs::read_to_string(format!("{dir}/{file}")).unwrap();
        assert!(text.contains("#[test]") && text.contains("Site::"), "{file} tests nothing");
    }
    let mut all: Vec<&str> = names.iter().map(|name| &name[6..8]).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), names.len(), "one file for each class");
}
