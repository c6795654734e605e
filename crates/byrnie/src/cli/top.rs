//! `byrnie top`: the busiest paths as they happen, made of what `tap` sees.

use std::collections::HashMap;
use std::time::Duration;

use byrnie_control::api::{TapEvent, TapPhase};
use byrnie_control::client::Lines;
use tokio::time::{Instant, MissedTickBehavior};

use crate::cli::Context;
use crate::cli::args::TopArgs;
use crate::cli::failure::Failure;
use crate::cli::tap::query;
use crate::output::live_table::Screen;
use crate::output::number;
use crate::output::table::Table;

/// Rows that are kept; beyond, the rarest goes.
const MAX_ROWS: usize = 1_000;
/// Requests that wait for their end; beyond, new ones are not counted.
const MAX_OPEN: usize = 10_000;
const REFRESH: Duration = Duration::from_secs(1);

/// On a terminal a table refreshed each second until Ctrl-C; else one table after `--duration`.
pub async fn run(context: &Context, args: &TopArgs) -> Result<(), Failure> {
    let mut events = context.client.tap(&query(&args.filter)).await.map_err(|body| context.refused(body))?;
    let screen = Screen::new();
    let mut top = Top { by_route: args.routes, ..Top::default() };
    if !screen.is_terminal() {
        let end = Instant::now() + args.duration;
        while let Ok(event) = tokio::time::timeout_at(end, next(context, &mut events)).await {
            match event? {
                Some(event) => top.add(event),
                None => break,
            }
        }
        return crate::output::data(&top.table().render());
    }
    let mut refresh = tokio::time::interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = next(context, &mut events) => match event? {
                Some(event) => top.add(event),
                None => return Ok(()),
            },
            _ = refresh.tick() => screen.table(top.table().render()),
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

async fn next(context: &Context, events: &mut Lines<TapEvent>) -> Result<Option<TapEvent>, Failure> {
    events.next().await.transpose().map_err(|body| context.refused(body))
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    source: String,
    destination: String,
    /// Method and path, or the route and nothing.
    what: (String, String),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    count: u64,
    failed: u64,
    best: u64,
    worst: u64,
    last: u64,
}

#[derive(Debug)]
struct Open {
    key: RowKey,
    latency_micros: Option<u64>,
    failed: bool,
}

#[derive(Debug, Default)]
struct Top {
    by_route: bool,
    rows: HashMap<RowKey, Row>,
    open: HashMap<(String, u64), Open>,
}

impl Top {
    /// Both proxies of a hop see a request; the caller's counts, because it sees also what never arrives.
    fn add(&mut self, event: TapEvent) {
        if event.direction != "out" {
            return;
        }
        let request = (event.proxy.clone(), event.id);
        match event.phase {
            TapPhase::Req if self.open.len() < MAX_OPEN => {
                let open = Open { key: self.key(&event), latency_micros: None, failed: false };
                self.open.insert(request, open);
            }
            TapPhase::Req => {}
            TapPhase::Rsp => {
                if let Some(open) = self.open.get_mut(&request) {
                    open.latency_micros = event.latency_micros;
                    open.failed = event.status.is_none_or(|status| status >= 500);
                }
            }
            TapPhase::End => {
                if let Some(open) = self.open.remove(&request) {
                    self.count(open, &event);
                }
            }
        }
    }

    fn count(&mut self, open: Open, end: &TapEvent) {
        let Some(latency) = open.latency_micros.or(end.latency_micros) else {
            return;
        };
        let failed = open.failed
            || open.latency_micros.is_none()
            || !end.error.is_empty()
            || end.grpc_status.is_some_and(|status| status != 0);
        if self.rows.len() >= MAX_ROWS && !self.rows.contains_key(&open.key) {
            let rarest = self.rows.iter().min_by_key(|(_, row)| row.count).map(|(key, _)| key.clone());
            rarest.and_then(|key| self.rows.remove(&key));
        }
        let fresh = Row { count: 0, failed: 0, best: u64::MAX, worst: 0, last: 0 };
        let row = self.rows.entry(open.key).or_insert(fresh);
        row.count += 1;
        row.failed += u64::from(failed);
        row.best = row.best.min(latency);
        row.worst = row.worst.max(latency);
        row.last = latency;
    }

    fn key(&self, event: &TapEvent) -> RowKey {
        let what = if self.by_route {
            (event.route.clone(), String::new())
        } else {
            let path = event.path.split('?').next().unwrap_or_default();
            (event.method.clone(), path.to_owned())
        };
        RowKey { source: host(&event.src), destination: host(&event.dst), what }
    }

    fn table(&self) -> Table {
        let mut headers = vec!["Source", "Destination"];
        headers.extend(if self.by_route { &["Route"][..] } else { &["Method", "Path"][..] });
        headers.extend([">Count", ">Best", ">Worst", ">Last", ">Success Rate"]);
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(b.0)));
        let mut table = Table::new(&headers);
        for (key, row) in rows {
            let mut cells = vec![key.source.clone(), key.destination.clone(), key.what.0.clone()];
            if !self.by_route {
                cells.push(key.what.1.clone());
            }
            cells.push(row.count.to_string());
            cells.extend([row.best, row.worst, row.last].map(number::micros));
            cells.push(number::percent(Some(1.0 - row.failed as f64 / row.count as f64)));
            table.row(cells);
        }
        table
    }
}

/// `127.0.0.1:1234` without its port; a name as it is.
fn host(peer: &str) -> String {
    match peer.parse::<std::net::SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) => peer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tap::tests::event;

    fn request(top: &mut Top, id: u64, path: &str, status: u16, latency: u64) {
        let with = |phase| TapEvent { id, ..event(phase) };
        top.add(TapEvent {
            method: "GET".into(),
            path: path.into(),
            route: "r/0".into(),
            ..with(TapPhase::Req)
        });
        top.add(TapEvent { status: Some(status), latency_micros: Some(latency), ..with(TapPhase::Rsp) });
        top.add(with(TapPhase::End));
    }

    #[test]
    fn requests_of_one_path_are_one_row_the_busiest_first() {
        let mut top = Top::default();
        request(&mut top, 1, "/a?x=1", 200, 500);
        request(&mut top, 2, "/a?x=2", 503, 1_500);
        request(&mut top, 3, "/b", 200, 700);
        let expected = "\
Source       Destination   Method   Path   Count    Best    Worst     Last   Success Rate
shop/front   shop/web-1    GET      /a         2   500µs   1500µs   1500µs         50.00%
shop/front   shop/web-1    GET      /b         1   700µs    700µs    700µs        100.00%
";
        assert_eq!(top.table().render(), expected);
    }

    #[test]
    fn only_the_callers_view_counts_and_unanswered_is_failed() {
        let mut top = Top { by_route: true, ..Top::default() };
        top.add(TapEvent { direction: "in".into(), ..event(TapPhase::Req) });
        assert!(top.open.is_empty());
        top.add(TapEvent { route: "r/0".into(), ..event(TapPhase::Req) });
        top.add(TapEvent { latency_micros: Some(9), error: "reset".into(), ..event(TapPhase::End) });
        assert!(top.table().render().ends_with("0.00%\n"));
        assert!(top.open.is_empty());
    }
}
