//! HTTP/1.1 or HTTP/2 between a proxy and what stands behind it, at several numbers of requests at a time: a proxy
//! alone, plaintext, HTTP/1.1 in front. (Between two proxies of a mesh it is always HTTP/2.)

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::Options;
use super::load::{self, Work};
use super::origin::Origin;
use super::process::{Process, await_ready, free_address};
use super::report::NOT_MEASURED;
use super::rounds::{Measured, Sample, median, median_millis, sample};
use super::table::{number, table};

/// Requests at a time.
const AT_A_TIME: [usize; 4] = [1, 4, 32, 256];

/// A proxy alone, with one worker.
struct Alone {
    process: Process,
    to: SocketAddr,
}

/// Measures and returns the report.
pub fn run(options: &Options, program: &Path, scratch: &Path) -> anyhow::Result<String> {
    let origin = Origin::start()?;
    let proxies = [
        ("HTTP/1.1", alone(program, scratch, "h1", &format!("http://{}", origin.http))?),
        ("HTTP/2", alone(program, scratch, "h2", &format!("h2c://{}", origin.h2))?),
    ];
    let (mut rows, mut failures) = (Vec::new(), String::new());
    for at_a_time in AT_A_TIME {
        eprintln!("{at_a_time} at a time");
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..options.rounds {
            for ((name, proxy), samples) in proxies.iter().zip(&mut samples) {
                let load = || load::requests(proxy.to, options.duration(), 1, at_a_time);
                match sample(&[proxy.process.pid()], load) {
                    Ok(sample) => samples.push(sample),
                    Err(error) => {
                        failures += &format!("- {NOT_MEASURED}: {name}, {at_a_time} at a time: {error:#}\n");
                    }
                }
            }
        }
        rows.extend(proxies.iter().zip(samples).map(|((name, _), samples)| (at_a_time, *name, samples)));
    }
    let head = format!(
        "One proxy alone with one worker, plaintext; clients by HTTP/1.1, as many connections as requests at a time, by \
         {}. Medians of {} rounds of {} s.\n\n",
        load::generator(),
        options.rounds,
        options.seconds
    );
    Ok(format!("{head}{}\n{failures}", report(&rows)))
}

fn alone(program: &Path, scratch: &Path, name: &str, backend: &str) -> anyhow::Result<Alone> {
    let to = free_address()?;
    let log = scratch.join(format!("{name}.log"));
    let mut command = Command::new(program);
    command.args(["proxy", "--listen", &to.to_string(), "--to", backend]).env("BYRNIE_PROXY_WORKERS", "1");
    let process = Process::start(&command, &log)?;
    await_ready(name, &log, || load::probe(Work::Hop, to))?;
    Ok(Alone { process, to })
}

fn report(rows: &[(usize, &str, Vec<Sample>)]) -> String {
    let heads = ["at a time", "to the origin", "CPU µs/request", "requests/s", "p50 ms", "p99 ms", "failed"];
    let cells = |(at_a_time, name, samples): &(usize, &str, Vec<Sample>)| {
        vec![
            at_a_time.to_string(),
            (*name).to_owned(),
            number(median(&Measured::cpu_micros(samples))),
            number(median(&Measured::rate(samples))),
            number(median_millis(samples, |outcome| outcome.p50)),
            number(median_millis(samples, |outcome| outcome.p99)),
            samples.iter().map(|sample| sample.outcome.failed).sum::<u64>().to_string(),
        ]
    };
    table(&heads, &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_each_dialect() {
        let text = report(&[(1, "HTTP/1.1", Vec::new()), (1, "HTTP/2", Vec::new())]);
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("HTTP/2"), "{text}");
    }
}
