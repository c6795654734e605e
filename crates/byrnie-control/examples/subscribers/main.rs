//! Simulated proxies for `cargo xtask bench --apply`: each with an identity, a connection and subscriptions of its own,
//! against the running control plane of a data directory. Changes things, and prints how long that takes to all, as
//! JSON.
//!
//! `subscribers DATA_DIR PROXIES CHANGES REMOVALS`

mod fleet;
mod objects;

use std::error::Error;
use std::time::{Duration, Instant};

use byrnie_control::api::{ApplyRequest, WaitRequest};
use byrnie_control::client::Client;
use byrnie_plan::Key;
use serde_json::{Value, json};

use fleet::{Fleet, Seen};

/// What ends the measurement; told on stderr.
type Failure = Box<dyn Error + Send + Sync>;

/// Nothing here takes this long on a machine that is worth measuring on.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the command line asks for.
struct Plan {
    data_dir: String,
    proxies: usize,
    changes: usize,
    removals: usize,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let plan = plan(std::env::args().skip(1).collect())?;
    byrnie_net::limits::raise_descriptors()?;
    let client = Client::new(&plan.data_dir);
    apply(&client, objects::mesh(plan.proxies)).await?;
    let start = Instant::now();
    let mut fleet = Fleet::start(&client, plan.proxies).await?;
    let all =
        (0..plan.proxies).map(|number| format!("{}/{}", objects::NAMESPACE, objects::caller_name(number)));
    wait(&client, plan.proxies, all.collect()).await?;
    let settled = millis(start.elapsed());
    eprintln!("{} simulated proxies are connected", plan.proxies);
    let (waits, reaches) = changes(&client, &mut fleet, &plan).await?;
    let removals = removals(&client, &mut fleet, &plan).await?;
    println!(
        "{:#}",
        json!({"settledMs": settled, "waitMs": waits, "reachMs": reaches, "removalMs": removals})
    );
    Ok(())
}

fn plan(args: Vec<String>) -> Result<Plan, Failure> {
    let [data_dir, proxies, changes, removals] = <[String; 4]>::try_from(args)
        .map_err(|_| Failure::from("usage: subscribers DATA_DIR PROXIES CHANGES REMOVALS"))?;
    Ok(Plan { data_dir, proxies: proxies.parse()?, changes: changes.parse()?, removals: removals.parse()? })
}

/// A route changes: how long `apply --wait` takes, as the command does it, and when the last proxy had it.
async fn changes(client: &Client, fleet: &mut Fleet, plan: &Plan) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let key: Key = objects::ROUTES.parse().map_err(|()| "a key of ours")?;
    let (mut waits, mut reaches) = (Vec::new(), Vec::new());
    fleet.forget();
    for number in 0..plan.changes {
        let start = Instant::now();
        apply(client, vec![objects::route(number)]).await?;
        wait(client, plan.proxies, Vec::new()).await?;
        waits.push(millis(start.elapsed()));
        let last = everybody(fleet, &key, plan.proxies).await?;
        reaches.push(millis(last.saturating_duration_since(start)));
    }
    Ok((waits, reaches))
}

/// A workload goes: when the last proxy knew. Then it comes back.
async fn removals(client: &Client, fleet: &mut Fleet, plan: &Plan) -> Result<Vec<f64>, Failure> {
    let key: Key = objects::ENDPOINTS.parse().map_err(|()| "a key of ours")?;
    let mut times = Vec::new();
    for number in 0..plan.removals {
        let name = objects::endpoint_name(number % objects::ENDPOINT_COUNT);
        let start = Instant::now();
        client.delete("workload", objects::NAMESPACE, &name).await?;
        let last = everybody(fleet, &key, plan.proxies).await?;
        times.push(millis(last.saturating_duration_since(start)));
        apply(client, vec![objects::endpoint(number % objects::ENDPOINT_COUNT)]).await?;
        everybody(fleet, &key, plan.proxies).await?;
        wait(client, plan.proxies, Vec::new()).await?;
    }
    Ok(times)
}

/// When the last proxy saw the next version of a key.
async fn everybody(fleet: &mut Fleet, key: &Key, proxies: usize) -> Result<Instant, Failure> {
    let mut count = 0;
    loop {
        let next = tokio::time::timeout(PATIENCE, fleet.seen.recv()).await;
        let next = next.map_err(|_| format!("only {count} of {proxies} proxies saw {key}"))?;
        let Seen { key: seen, at } = next.ok_or("all proxies have ended")?;
        count += usize::from(seen == *key);
        if count == proxies {
            return Ok(at);
        }
    }
}

async fn apply(client: &Client, objects: Vec<Value>) -> Result<(), Failure> {
    client.apply(&ApplyRequest { objects, ..ApplyRequest::default() }).await?;
    Ok(())
}

/// Waits until all obey; first until those of `connected` have a connection, which a wait by itself does not do.
async fn wait(client: &Client, proxies: usize, connected: Vec<String>) -> Result<(), Failure> {
    let timeout_ms = u64::try_from(PATIENCE.as_millis()).ok();
    let response = client.wait(&WaitRequest { timeout_ms, proxies: connected }).await?;
    if response.synced == proxies {
        return Ok(());
    }
    let first = response.pending.first().or(response.rejected.first());
    Err(format!("{} of {proxies} proxies obey; the first that does not: {first:?}", response.synced).into())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
