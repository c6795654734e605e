//! A server with ten thousand authorization policies beside one with a single one.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::bench::Options;
use crate::bench::budget::{self, Budget};
use crate::bench::load::{self, CONNECTIONS, Idle};
use crate::bench::origin::Origin;
use crate::bench::peers::byrnie::Mesh;
use crate::bench::process::{await_ready, cpu, memory};
use crate::bench::rounds::median;
use crate::bench::table::{number, table};

/// How many there are: the last lets the client in.
const POLICIES: [usize; 2] = [1, 10_000];
/// One answer.
const PATIENCE: Duration = Duration::from_secs(2);
const MIB: f64 = 1_048_576.0;

/// The server's proxy with so many policies.
struct Row {
    policies: usize,
    rss: f64,
    anonymous: f64,
    micros: f64,
}

/// Measures and returns the report.
pub fn run(options: &Options, program: &Path, scratch: &Path, origin: &Origin) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for policies in POLICIES {
        eprintln!("{policies} policies");
        let directory = scratch.join(format!("policies-{policies}"));
        std::fs::create_dir_all(&directory)?;
        // A file of its own: one has at most 10,000 objects.
        let file = directory.join("policies.yaml");
        std::fs::write(&file, self::policies(policies)).with_context(|| file.display().to_string())?;
        let more = ["-f", file.to_str().context("a path that is no text")?];
        let mesh = Mesh::start(program, &directory, &workloads(origin), &more, 1, 2, 1)?;
        rows.push(measure(options, &mesh, policies)?);
    }
    Ok(report(&rows))
}

fn measure(options: &Options, mesh: &Mesh, policies: usize) -> anyhow::Result<Row> {
    let to = mesh.upstream("client", "http")?;
    let server = mesh.pid("server")?;
    // Only the last of the policies lets the client in.
    await_ready("the server", &mesh.log, || Idle::open(to, PATIENCE).map(drop))?;
    let known = memory(server)?;
    let mut micros = Vec::new();
    for _ in 0..options.rounds {
        let before = cpu(&[server])?;
        let outcome = load::requests(to, options.duration(), 1, CONNECTIONS)?;
        let used = cpu(&[server])?.saturating_sub(before);
        anyhow::ensure!(outcome.failed == 0, "{} requests failed", outcome.failed);
        micros.push(used.as_secs_f64() * 1e6 / outcome.done.max(1) as f64);
    }
    let (rss, anonymous) = (known.rss as f64 / MIB, known.anonymous as f64 / MIB);
    Ok(Row { policies, rss, anonymous, micros: median(&micros).unwrap_or_default() })
}

fn report(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let numbers = [row.rss, row.anonymous, row.micros].map(|value| number(Some(value)));
        std::iter::once(row.policies.to_string()).chain(numbers).collect()
    };
    let heads =
        ["policies of the server", "its proxy, RSS MiB", "anonymous MiB", "CPU µs/request of its proxy"];
    let mut text = table(&heads, &rows.iter().map(cells).collect::<Vec<Vec<String>>>());
    let [few, many] = rows else { return text };
    let each = (many.rss - few.rss).max(0.0) * 1024.0 / (many.policies - few.policies) as f64;
    text.push('\n');
    text += &budget::text(&[
        Budget::at_most("KiB for each policy", each, None, 1.0),
        Budget::at_most("CPU with 10,000 policies / with one", many.micros / few.micros, None, 1.2),
    ]);
    text
}

/// A client and a server.
fn workloads(origin: &Origin) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: http, namespace: bench}}
spec: {{selector: {{app: server}}, ports: [{{port: 80, targetPort: http, appProtocol: http}}]}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: server, namespace: bench, labels: {{app: server}}}}
spec: {{address: 127.0.0.1, ports: [{{name: http, port: {}}}], upstreams: []}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: client, namespace: bench}}
spec: {{serviceAccount: client, upstreams: [{{service: http}}]}}
",
        origin.http.port()
    )
}

/// Policies that all select the server; each but the last names another caller and a path of its own.
fn policies(policies: usize) -> String {
    let mut text = String::new();
    for number in 1..=policies {
        let rule = if number == policies {
            "from: [{identities: [bench/client]}]".to_owned()
        } else {
            format!("from: [{{identities: [bench/caller-{number}]}}], to: [{{paths: [/path-{number}/*]}}]")
        };
        let _ = write!(
            text,
            "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {{name: policy-{number}, namespace: bench}}
spec: {{targetRefs: [{{kind: Workload, name: server}}], action: ALLOW, rules: [{{{rule}}}]}}
"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_policy_lets_the_client_in() {
        for count in [1, 3] {
            let text = policies(count);
            assert_eq!(text.matches("kind: AuthorizationPolicy").count(), count);
            assert_eq!(text.matches("bench/client]").count(), 1);
            assert_eq!(text.matches("bench/caller-").count(), count - 1);
        }
    }

    #[test]
    fn ratios() {
        let row = |policies, rss, micros| Row { policies, rss, anonymous: 0.0, micros };
        let text = report(&[row(1, 10.0, 20.0), row(1025, 12.0, 30.0)]);
        assert!(text.contains("| KiB for each policy                 |    2.000 |"), "{text}");
        assert!(text.contains("1.500"), "{text}");
    }
}
