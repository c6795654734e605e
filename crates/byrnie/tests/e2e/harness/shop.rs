//! The mesh that tests of policies share.

use super::{Mesh, Origin, Sandbox, free_port, get, until, yaml};

/// `web` behind a Gateway, and two callers with identities of their own: `a` and `b`.
pub struct Shop {
    pub mesh: Mesh,
    _web: Origin,
    /// The Gateway's listener.
    pub gateway: String,
    /// Where `a` calls `web`.
    pub a: String,
    /// Where `b` does.
    pub b: String,
}

impl Shop {
    /// With more objects; returns when each way leads to the application.
    pub fn open(more: &str) -> Self {
        Self::open_in(Sandbox::new(), more, &[200])
    }

    /// The same in this sandbox; returns when each way is answered with one of these statuses.
    pub fn open_in(sandbox: Sandbox, more: &str, answers: &[u16]) -> Self {
        let (web, port) = (Origin::start("web"), free_port());
        let text = [
            yaml::workload("web-1", "web", web.port, ""),
            yaml::caller("a", ""),
            yaml::caller("b", ""),
            yaml::service("web", "http"),
            yaml::gateway("front", &[port]),
            yaml::route_to("web", "front"),
            more.to_owned(),
        ];
        let mesh = Mesh::start_in(sandbox, &text.concat());
        let (a, b) = (mesh.upstream("a", "web"), mesh.upstream("b", "web"));
        let shop = Self { mesh, _web: web, gateway: format!("127.0.0.1:{port}"), a, b };
        for address in [&shop.gateway, &shop.a, &shop.b] {
            until("the endpoint is known", || {
                answers.contains(&get(address, "/", &[]).ok()?.status).then_some(())
            });
        }
        shop
    }
}
