//! Ways around a path by its spelling (CVE-2019-9901, CVE-2021-31920, CVE-2024-10005): denied in every spelling.

use super::frames::{END_STREAM, Fate, Frames, get};
use super::site::{Site, exchange, last};

/// What applications may read as `/admin`, or as something below it.
const SPELLINGS: &[&str] = &[
    "/admin",
    "/admin/x",
    "/a/../admin",
    "/./admin",
    "//admin",
    "///admin",
    "/a/b/../../admin",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/%2e%2e/admin",
    "/a/%2e%2e/admin",
    "/a/%2E%2e/admin",
    "/.%2e/admin",
    "/a/..//admin",
    "/admin/.",
    "/admin/..%2fadmin",
    "/%2fadmin",
    "/%2Fadmin",
    "/a%2f..%2fadmin",
    "/admin%2fx",
    "/\\admin",
    "/%5cadmin",
    "/a\\..\\admin",
    "/a%5C..%5Cadmin",
    "/admin%00",
    "/admin%",
    "/admin#x",
    "/x#/../admin",
    "/admin?x",
    "/admin/?x",
    "http://a/admin",
    "http://a//admin",
    "http://b/%61dmin",
    "/..;/admin%2f",
    "/a/../../../admin",
    "/admin//",
    "/admin/../admin/x",
    "/ad%6Din/",
];

#[test]
fn a_denied_path_is_denied_in_every_spelling() {
    let site = Site::open();
    for road in site.roads() {
        for path in SPELLINGS {
            let answer = exchange(road, last(path).as_bytes());
            let refused = ["HTTP/1.1 403 ", "HTTP/1.1 400 "].iter().any(|line| answer.starts_with(line));
            assert!(refused, "{road}: {path}: {answer}");
        }
        for path in ["/%61dmin", "//admin", "/a/../admin", "/%2fadmin", "/admin/%2e/x"] {
            let mut client = Frames::open(road, &[]);
            client.request(1, END_STREAM, &get(path)).unwrap();
            let fate = client.fate(1);
            assert!(matches!(fate, Fate::Answered(403 | 400)), "{road}: {path}: {fate:?}");
        }
    }
    site.saw(&[]);
    // What is another path stays one, and reaches the application as it was decided on.
    for (path, seen) in [
        ("/%2561dmin", "GET /%2561dmin"),
        ("/Admin", "GET /Admin"),
        ("/administrator", "GET /administrator"),
        ("/admin;x", "GET /admin;x"),
        ("/x/%2e%2e/y", "GET /y"),
        ("/admin/../open", "GET /open"),
    ] {
        for road in site.roads() {
            assert!(exchange(road, last(path).as_bytes()).starts_with("HTTP/1.1 200 "), "{road}: {path}");
        }
        site.saw(&[seen, seen]);
    }
    site.holds();
}
