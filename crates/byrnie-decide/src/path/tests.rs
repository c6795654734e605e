use proptest::prelude::*;

use super::*;

fn normal(path: &str) -> String {
    match normalize_path(path.as_bytes()) {
        Normalized::Borrowed(path) => path.to_owned(),
        Normalized::Owned(path) => path,
        Normalized::Refused(refusal) => panic!("{path}: {refusal}"),
    }
}

#[test]
fn what_is_normal_stays_without_allocation() {
    for path in [
        "/",
        "*",
        "/a",
        "/a/b/",
        "/.well-known/x",
        "/a.b/..c/.d",
        "/a%20b",
        "/%C3%BC",
        "/~a-b_c",
        "/a;p=1,2:@!$&'()*+=",
    ] {
        assert_eq!(normalize_path(path.as_bytes()), Normalized::Borrowed(path));
    }
    assert_eq!(normalize_path(b""), Normalized::Borrowed("/"));
}

#[test]
fn one_reading_for_many_spellings() {
    for (raw, expected) in [
        ("//", "/"),
        ("/a//b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/..", "/"),
        ("/../../etc/passwd", "/etc/passwd"),
        ("/a//../b", "/b"),
        ("/%61dmin", "/admin"),
        ("/%2e%2E/admin", "/admin"),
        ("/a/%2e/b", "/a/b"),
        ("/%c3%bc", "/%C3%BC"),
        ("/ü", "/%C3%BC"),
        ("/a%7Eb", "/a~b"),
        // Decoded once only: what is left is what the application sees, too.
        ("/%2561", "/%2561"),
        ("/a/b/../../c/", "/c/"),
    ] {
        assert_eq!(normal(raw), expected, "{raw}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_escaped() {
    assert_eq!(normalize_path(b"/a\xff"), Normalized::Owned("/a%FF".to_owned()));
}

#[test]
fn what_has_no_single_reading_is_refused() {
    for (raw, refusal) in [
        ("a", PathRefusal::NotAbsolute),
        ("http://x/", PathRefusal::NotAbsolute),
        ("**", PathRefusal::NotAbsolute),
        ("/a\0", PathRefusal::ControlByte),
        ("/a\r\nb", PathRefusal::ControlByte),
        ("/a\x7f", PathRefusal::ControlByte),
        ("/a b", PathRefusal::ControlByte),
        ("/a%00", PathRefusal::ControlByte),
        ("/a%2fb", PathRefusal::EncodedSlash),
        ("/a%2Fb", PathRefusal::EncodedSlash),
        ("/a\\b", PathRefusal::Backslash),
        ("/a%5cb", PathRefusal::Backslash),
        ("/a%", PathRefusal::BadEscape),
        ("/a%4", PathRefusal::BadEscape),
        ("/a%zz", PathRefusal::BadEscape),
        ("/a%+1", PathRefusal::BadEscape),
        ("/a#b", PathRefusal::Fragment),
        ("/a?b", PathRefusal::Query),
    ] {
        assert_eq!(normalize_path(raw.as_bytes()), Normalized::Refused(refusal), "{raw:?}");
    }
}

proptest! {
    #[test]
    fn normalisation_is_idempotent_and_leaves_nothing_to_read_twice(path in "/([a.%/]|%2e|%2E|%61|%c3|é|\\.\\.|//){0,12}") {
        let once = match normalize_path(path.as_bytes()) {
            Normalized::Borrowed(path) => path.to_owned(),
            Normalized::Owned(path) => path,
            Normalized::Refused(_) => return Ok(()),
        };
        prop_assert_eq!(normalize_path(once.as_bytes()), Normalized::Borrowed(once.as_str()));
        prop_assert!(once.starts_with('/') && once.is_ascii() && !once.contains("//"));
        prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
    }

    #[test]
    fn no_input_panics(path in proptest::collection::vec(any::<u8>(), 0..40), host in ".{0,40}") {
        let _ = normalize_path(&path);
        let _ = normalize_authority(&host);
    }
}

#[test]
fn authorities() {
    for (raw, host, port) in [
        ("Example.COM", "example.com", None),
        ("example.com:80", "example.com", Some(80)),
        ("example.com.", "example.com", None),
        ("example.com.:443", "example.com", Some(443)),
        ("example.com:", "example.com", None),
        ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
        ("[::1]:80", "[::1]", Some(80)),
        ("[2001:DB8::1]", "[2001:db8::1]", None),
        ("a_b-c.svc", "a_b-c.svc", None),
    ] {
        let authority = normalize_authority(raw).unwrap();
        assert_eq!((&*authority.host, authority.port), (host, port), "{raw}");
    }
    assert!(matches!(normalize_authority("example.com:80").unwrap().host, Cow::Borrowed(_)));
    let long = "a".repeat(256);
    for (raw, refusal) in [
        ("", HostRefusal::Length),
        (".", HostRefusal::Length),
        (":80", HostRefusal::Length),
        (long.as_str(), HostRefusal::Length),
        ("user@example.com", HostRefusal::UserInfo),
        ("a..b", HostRefusal::EmptyLabel),
        (".a", HostRefusal::EmptyLabel),
        ("a..", HostRefusal::EmptyLabel),
        ("a b", HostRefusal::BadByte),
        ("a/b", HostRefusal::BadByte),
        ("a%41", HostRefusal::BadByte),
        ("ü.de", HostRefusal::BadByte),
        ("[::1", HostRefusal::BadPort),
        ("[::1]x", HostRefusal::BadByte),
        ("[x]", HostRefusal::BadByte),
        ("a:b", HostRefusal::BadPort),
        ("a:+80", HostRefusal::BadPort),
        ("a:65536", HostRefusal::BadPort),
        ("a:80:80", HostRefusal::BadPort),
    ] {
        assert_eq!(normalize_authority(raw), Err(refusal), "{raw}");
    }
}

#[test]
fn prefix_rewrites_follow_the_gateway_api() {
    for (path, prefix, new, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/a", "/", "/x", "/x/a"),
        ("/", "/", "/x", "/x/"),
    ] {
        let (matched, rewrite) = (PathMatch::Prefix(prefix.to_owned()), PathRewrite::Prefix(new.to_owned()));
        assert_eq!(rewrite_path(path, &matched, &rewrite), expected, "{path} {prefix} {new}");
    }
    let full = PathRewrite::Full("/all".to_owned());
    assert_eq!(rewrite_path("/a", &PathMatch::Exact("/a".to_owned()), &full), "/all");
    let prefix = PathRewrite::Prefix("/x".to_owned());
    assert_eq!(rewrite_path("/a", &PathMatch::Exact("/a".to_owned()), &prefix), "/a");
}
