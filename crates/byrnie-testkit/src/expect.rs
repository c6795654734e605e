//! Traffic, metric and log line, asserted together.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::ground::Ground;
use crate::until;

/// What one exchange must look like from all sides.
#[derive(Clone, Debug, Default)]
pub struct Expect<'a> {
    /// The workload that acts.
    pub caller: &'a str,
    /// The program that it runs.
    pub program: &'a [&'a str],
    /// What its output must contain. Empty: the program must fail.
    pub prints: &'a str,
    /// The proxy, the metric's name and labels (`key="value"`) of series that must have grown.
    pub metric: Option<(&'a str, &'a str, &'a [&'a str])>,
    /// The proxy, and what one new line of its log must contain, all of it.
    pub logged: Option<(&'a str, &'a [&'a str])>,
}

impl Ground {
    /// Runs the program until it says what it should (endpoints may be on their way), then waits for metric and log
    /// line. Returns what it said.
    #[track_caller]
    pub fn expect(&self, want: &Expect<'_>) -> String {
        let counted = want.metric.map(|(proxy, name, labels)| self.metric(proxy, name, labels));
        let before = want.logged.map_or(0, |(proxy, _)| self.proxy_log(proxy).len());
        let said = until(&format!("{want:?}"), || {
            let said = self.run(want.caller, want.program);
            let fits = match want.prints {
                "" => said.code != Some(0),
                text => said.code == Some(0) && said.out.contains(text),
            };
            fits.then_some(said.out)
        });
        if let (Some((proxy, name, labels)), Some(before)) = (want.metric, counted) {
            until(&format!("{name} {labels:?} of {proxy} grows"), || {
                (self.metric(proxy, name, labels) > before).then_some(())
            });
        }
        if let Some((proxy, parts)) = want.logged {
            until(&format!("a line of {proxy} has {parts:?}"), || {
                let log = self.proxy_log(proxy);
                let mut new = log.get(before..)?.lines();
                new.any(|line| parts.iter().all(|part| line.contains(part))).then_some(())
            });
        }
        said
    }

    /// The sum of the series of a proxy's metric that have these labels; 0 where there is none.
    pub fn metric(&self, proxy: &str, name: &str, labels: &[&str]) -> u64 {
        let address = until("the proxy has an admin address", || {
            let address = self.proxy(proxy)?["admin"].as_str()?.to_owned();
            (!address.is_empty()).then_some(address)
        });
        metric(&scrape(&address), name, labels)
    }
}

/// The sum of the series with this name and these labels in a text of metrics.
pub fn metric(text: &str, name: &str, labels: &[&str]) -> u64 {
    let fits = |line: &&str| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(|label| rest.contains(label))
    };
    let value = |line: &str| line.rsplit_once(' ')?.1.parse::<f64>().ok();
    let sum: f64 = text.lines().filter(fits).filter_map(value).sum();
    sum as u64
}

fn scrape(address: &str) -> String {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    get().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_their_labels() {
        let text = "# HELP a_total x\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\nab_total{x=\"1\"} 9\nb 5\n";
        for (name, labels, want) in [
            ("a_total", &[][..], 7),
            ("a_total", &["x=\"1\""][..], 7),
            ("a_total", &["x=\"1\"", "y=\"3\""][..], 4),
            ("a_total", &["x=\"2\""][..], 0),
            ("b", &[][..], 5),
        ] {
            assert_eq!(metric(text, name, labels), want, "{name} {labels:?}");
        }
    }
}
