//! What proxies occupy: fresh, knowing a thousand services, holding ten thousand idle connections, and after them; and
//! with ten thousand authorization policies.

mod file;
pub mod held;
mod policies;

use std::path::Path;
use std::time::{Duration, Instant};

use super::Options;
use super::budget::{self, Budget};
use super::load::{self, Idle};
use super::origin::Origin;
use super::peers::byrnie::Mesh;
use super::process::{await_ready, memory, within};
use super::report::NOT_MEASURED;
use super::table::{number, table};

/// Services that the client's proxy knows.
const SERVICES: usize = 1000;
/// Connections that are open at a time and idle, where there are descriptors for so many.
const CONNECTIONS: usize = 10_000;
/// Clients of a burst, each with a request in flight at all times.
const BURST: usize = 1000;
/// How long it lasts.
const BURSTING: Duration = Duration::from_secs(5);
/// What a burst has left of connections to the application is closed by halves, every five seconds.
const AFTER_BURST: Duration = Duration::from_secs(30);
/// One answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long memory may take to come back after the connections are closed.
const SETTLING: Duration = Duration::from_secs(10);
/// Connections between proxies that carried bytes are kept for one to two minutes.
const KEPT: Duration = Duration::from_secs(130);
/// A connection of HTTP/1 keeps its codec for half of `headerTimeout` at most; what it frees goes back a while later.
const AWAKE: Duration = Duration::from_secs(20);
/// The growth after a burst that is not waited for any longer.
const SETTLED: f64 = 1.1;
const MIB: f64 = 1_048_576.0;

/// Both proxies at one moment, in MiB.
struct Moment {
    name: String,
    client: f64,
    server: f64,
    anonymous: [f64; 2],
}

/// Measures and returns the report.
pub fn run(options: &Options, program: &Path, scratch: &Path) -> anyhow::Result<String> {
    let connections = held::room();
    let origin = Origin::start()?;
    let unless = |error: anyhow::Error| format!("- {NOT_MEASURED}: {error:#}\n");
    let moments = moments(program, scratch, &origin, connections);
    let mut text =
        "A client and a server with one worker in each proxy; 1,000 services lead to the server, and the \
                    client calls each once.\n\n"
            .to_owned();
    text += &moments.map_or_else(unless, |moments| report(&moments, connections));
    text.push('\n');
    text += &policies::run(options, program, scratch, &origin).unwrap_or_else(unless);
    Ok(text)
}

fn moments(
    program: &Path,
    scratch: &Path,
    origin: &Origin,
    connections: usize,
) -> anyhow::Result<Vec<Moment>> {
    let mesh = Mesh::start(program, scratch, &file::text(origin), &[], 1, 2, SERVICES + 1)?;
    let look = |name: String| -> anyhow::Result<Moment> {
        let (client, server) = (memory(mesh.pid("client")?)?, memory(mesh.pid("server")?)?);
        let mib = |bytes: u64| bytes as f64 / MIB;
        let anonymous = [mib(client.anonymous), mib(server.anonymous)];
        Ok(Moment { name, client: mib(client.rss), server: mib(server.rss), anonymous })
    };
    let mut moments = vec![look("fresh".to_owned())?];
    for (service, address) in mesh.upstreams("client")? {
        // The server's proxy may be there and not yet be an endpoint.
        await_ready(&service, &mesh.log, || Idle::open(address, PATIENCE).map(drop))?;
    }
    moments.push(look(format!("{SERVICES} services called once"))?);
    eprintln!("{BURST} clients at once");
    load::requests(mesh.upstream("client", &file::service(0))?, BURSTING, 1, BURST)?;
    moments.push(look(format!("right after {BURST} clients at once, {} s", BURSTING.as_secs()))?);
    std::thread::sleep(AFTER_BURST);
    moments.push(look(format!("and {} s later", AFTER_BURST.as_secs()))?);
    for (kind, service) in [("HTTP/1.1", file::service(0)), ("TCP", "opaque".to_owned())] {
        let to = mesh.upstream("client", &service)?;
        let before = moments[moments.len() - 1].client;
        eprintln!("{connections} connections of {kind}");
        let held = held::Held::open(to, connections)?;
        moments.push(look(format!("and {connections} idle connections of {kind}"))?);
        if kind == "HTTP/1.1" {
            std::thread::sleep(AWAKE);
            moments.push(look(format!("the same {} s later", AWAKE.as_secs()))?);
        }
        drop(held);
        within(SETTLING, || look(String::new()).is_ok_and(|now| now.client < before * SETTLED));
        moments.push(look("and closed again".to_owned())?);
    }
    let (client, server) = (moments[6].client * SETTLED, moments[6].server * SETTLED);
    let is_back = |now: &Moment| now.client < client && now.server < server;
    let start = Instant::now();
    within(KEPT, || look(String::new()).is_ok_and(|now| is_back(&now)));
    moments.push(look(format!("and {} s later", start.elapsed().as_secs()))?);
    Ok(moments)
}

fn report(moments: &[Moment], connections: usize) -> String {
    let row = |moment: &Moment| {
        let [client, server] = moment.anonymous;
        let numbers = [moment.client, client, moment.server, server].map(|value| number(Some(value)));
        std::iter::once(moment.name.clone()).chain(numbers).collect()
    };
    let heads = ["MiB", "client's proxy, RSS", "anonymous", "server's proxy, RSS", "anonymous"];
    let mut text = table(&heads, &moments.iter().map(row).collect::<Vec<Vec<String>>>());
    let [_, knowing, _, burst, http, rests, between, tcp, after, late] = moments else { return text };
    let each = |before: f64, now: f64| (now - before).max(0.0) * 1024.0 / connections as f64;
    let at_most = |what: &str, value: f64, goal: f64| Budget::at_most(what, value, None, goal);
    text.push('\n');
    text += &budget::text(&[
        at_most(&format!("RSS knowing {SERVICES} services, MiB"), knowing.client, 12.0),
        at_most("client's proxy half a minute after the burst / before", burst.client / knowing.client, 1.5),
        at_most("server's proxy half a minute after the burst / before", burst.server / knowing.server, 1.5),
        at_most("KiB for each HTTP/1.1 connection after its answer", each(burst.client, http.client), 4.0),
        at_most("KiB for each idle HTTP/1.1 connection, client", each(burst.client, rests.client), 4.0),
        at_most("KiB for each idle TCP connection, client", each(between.client, tcp.client), 4.0),
        at_most("KiB for each idle TCP connection, server", each(between.server, tcp.server), 4.0),
        at_most("client's proxy after HTTP/1.1 / before", between.client / burst.client, 1.5),
        at_most("client's proxy right after TCP / before", after.client / between.client, 1.5),
        at_most("server's proxy right after TCP / before", after.server / between.server, 1.5),
        at_most("client's proxy two minutes after TCP / before", late.client / between.client, 1.5),
        at_most("server's proxy two minutes after TCP / before", late.server / between.server, 1.5),
    ]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_shared_out() {
        let moment = |client, server| Moment { name: "x".to_owned(), client, server, anonymous: [0.0; 2] };
        let moments = [
            (5.0, 5.0),
            (9.0, 5.0),
            (90.0, 50.0),
            (10.0, 5.0),
            (40.0, 5.0),
            (30.0, 5.0),
            (10.0, 5.0),
            (10.0, 15.0),
            (10.0, 9.0),
            (10.0, 5.0),
        ];
        let text = report(&moments.map(|(client, server)| moment(client, server)), 1024);
        let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_default();
        assert!(line("each idle HTTP/1.1 connection, client").contains(" 20.0 "), "{text}");
        assert!(line("each idle TCP connection, server").contains(" 10.0 "), "{text}");
        assert!(line("server's proxy right after TCP").contains("MISS"), "{text}");
    }
}
