//! The admin surface (CVE-2024-40632): no way to it through the mesh, and nothing secret in it.

use super::site::{Site, exchange};

#[test]
fn the_admin_port_is_reached_by_nobody_and_tells_nobody() {
    let site = Site::open();
    let admin = site.mesh.proxy("front").unwrap()["admin"].as_str().unwrap().to_owned();
    // Nothing ends a proxy, or shows keys.
    for method in ["GET", "POST", "PUT", "DELETE"] {
        for path in [
            "/shutdown",
            "/quitquitquit",
            "/env.json",
            "/debug/pprof/profile",
            "/config_dump",
            "/certificates",
        ] {
            let words = format!(
                "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let answer = exchange(&admin, words.as_bytes());
            let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
            assert!(status.starts_with('4'), "{method} {path}: {answer}");
            assert!(!answer.contains("PRIVATE KEY"), "{answer}");
        }
    }
    for path in ["/metrics", "/ready", "/live"] {
        let words = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        assert!(!exchange(&admin, words.as_bytes()).contains("PRIVATE KEY"), "{path}");
    }
    // A request whose URI names the admin port goes where the road goes, never there.
    for road in site.roads() {
        let words =
            format!("GET http://{admin}/metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        assert!(!exchange(road, words.as_bytes()).contains("byrnie_"), "{road}");
    }
    site.saw(&["GET /metrics", "GET /metrics"]);
    site.holds();
}
