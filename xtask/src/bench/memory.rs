//! What a proxy occupies: fresh, knowing a thousand services, holding idle connections, and after them.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::budget::{self, Budget};
use super::load::Idle;
use super::origin::Origin;
use super::peers::byrnie::Mesh;
use super::process::{await_ready, memory, within};
use super::table::{number, table};

/// Services that the client's proxy knows.
const SERVICES: usize = 1000;
/// Connections that are open at a time and idle: below the 1,024 that one endpoint takes by default.
const CONNECTIONS: usize = 1000;
/// One answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long memory may take to come back after the connections are closed.
const SETTLING: Duration = Duration::from_secs(20);
/// The growth after a burst that is not waited for any longer.
const SETTLED: f64 = 1.1;

/// Both proxies at one moment, in MiB: RSS, and the client's anonymous pages.
struct Moment {
    name: String,
    client: f64,
    server: f64,
    anonymous: f64,
}

/// Measures and returns the report.
pub fn run(program: &Path, scratch: &Path) -> anyhow::Result<String> {
    raise_descriptors();
    let origin = Origin::start()?;
    let mesh = Mesh::start(program, scratch, &file(&origin), &[], 1, 2, SERVICES + 1)?;
    let look = |name: String| -> anyhow::Result<Moment> {
        let (client, server) = (memory(mesh.pid("client")?)?, memory(mesh.pid("server")?)?);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Ok(Moment {
            name,
            client: mib(client.rss),
            server: mib(server.rss),
            anonymous: mib(client.anonymous),
        })
    };
    let mut moments = vec![look("fresh".to_owned())?];
    let upstreams = mesh.upstreams("client")?;
    let opaque = mesh.upstream("client", "opaque")?;
    // The server's proxy may be there and not yet be an endpoint.
    await_ready("the server", &mesh.log, || Idle::open(opaque, PATIENCE).map(drop))?;
    for (service, address) in &upstreams {
        drop(Idle::open(*address, PATIENCE).with_context(|| service.clone())?);
    }
    moments.push(look(format!("{SERVICES} services called once"))?);
    let idle: Vec<Idle> =
        (0..CONNECTIONS).map(|_| Idle::open(opaque, PATIENCE)).collect::<anyhow::Result<_>>()?;
    moments.push(look(format!("and {CONNECTIONS} idle TCP connections"))?);
    drop(idle);
    let before = moments[1].client;
    within(SETTLING, || look(String::new()).is_ok_and(|now| now.client < before * SETTLED));
    moments.push(look("and closed again".to_owned())?);
    Ok(text(&moments))
}

fn service(number: usize) -> String {
    format!("service-{number}")
}

/// One server behind many services, and a client that calls them all.
fn file(origin: &Origin) -> String {
    let mut calls = String::from("{service: opaque}");
    let mut text = String::new();
    let mut add = |name: &str, protocol: &str| {
        let _ = write!(
            text,
            "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec: {{selector: {{app: server}}, ports: [{{port: 80, targetPort: {protocol}, appProtocol: {protocol}}}]}}
---
"
        );
    };
    add("opaque", "tcp");
    for number in 0..SERVICES {
        add(&service(number), "http");
        let _ = write!(calls, ", {{service: {}}}", service(number));
    }
    // Both names lead to the same port of the origin: what is opaque is said by the service.
    let port = origin.http.port();
    let _ = write!(
        text,
        "apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: server, namespace: bench, labels: {{app: server}}}}
spec: {{address: 127.0.0.1, ports: [{{name: http, port: {port}}}, {{name: tcp, port: {}}}], upstreams: []}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: client, namespace: bench}}
spec: {{upstreams: [{calls}]}}
",
        origin.opaque.port()
    );
    text
}

/// Each connection takes one of ours.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    // Where it is not allowed, opening the connections says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
}

fn text(moments: &[Moment]) -> String {
    let row = |moment: &Moment| {
        let numbers = [moment.client, moment.server, moment.anonymous].map(|value| number(Some(value)));
        std::iter::once(moment.name.clone()).chain(numbers).collect()
    };
    let heads = ["MiB", "client's proxy, RSS", "server's proxy, RSS", "client's proxy, anonymous"];
    let mut text = table(&heads, &moments.iter().map(row).collect::<Vec<Vec<String>>>());
    let [_, knowing, burst, after] = moments else { return text };
    let each = |before: f64, now: f64| (now - before).max(0.0) * 1024.0 / CONNECTIONS as f64;
    text.push('\n');
    text += &budget::text(&[
        Budget::at_most(format!("RSS knowing {SERVICES} services, MiB"), knowing.client, None, 12.0),
        Budget::at_most(
            "KiB for each idle connection, client",
            each(knowing.client, burst.client),
            None,
            4.0,
        ),
        Budget::at_most(
            "KiB for each idle connection, server",
            each(knowing.server, burst.server),
            None,
            4.0,
        ),
        Budget::at_most("client's proxy after the burst / before", after.client / knowing.client, None, 1.5),
        Budget::at_most("server's proxy after the burst / before", after.server / knowing.server, None, 1.5),
    ]);
    text
}
