//! The registry as OpenMetrics text, which Prometheus reads. Encoded by `prometheus-client` straight from our sums.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry as Encoder;

use crate::registry::{Inner, Tables};
use crate::{Desc, Histogram, Labels, Outcome, Registry, names};

impl Registry {
    /// What the text of [`Self::render`] is, for the Content-Type header.
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// What the text of [`Self::render_classic`] is.
    pub const CLASSIC_CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// All metrics in Prometheus' older text format, for readers that do not ask for OpenMetrics. The samples are the
    /// same; a counter's family has the name of its samples there, and nothing marks the end.
    pub fn render_classic(&self, now: Instant) -> String {
        let text = self.render(now);
        let counters: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
        let mut out = String::with_capacity(text.len() + 1024);
        for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
            let family = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
            let family =
                family.and_then(|rest| rest.split(' ').next()).filter(|name| counters.contains(name));
            match family.and_then(|name| line.split_once(name)) {
                Some((before, after)) => {
                    out.push_str(before);
                    out.push_str(family.unwrap_or_default());
                    out.push_str("_total");
                    out.push_str(after);
                }
                None => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }

    /// All metrics as text.
    pub fn render(&self, now: Instant) -> String {
        let mut encoder = Encoder::default();
        encoder.register_collector(Box::new(Scrape { registry: Arc::clone(&self.0), now }));
        let mut out = String::with_capacity(16 * 1024);
        match text::encode(&mut out, &encoder) {
            Ok(()) => out,
            // A String does not refuse writes; half a scrape would be worse than none.
            Err(fmt::Error) => String::new(),
        }
    }
}

/// One scrape.
struct Scrape {
    registry: Arc<Inner>,
    now: Instant,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

/// Label values in the order of a [`Desc`], and what is summed under them.
type Rows<T> = BTreeMap<Vec<String>, T>;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let rows = {
            let mut tables = self.registry.tables.lock();
            self.registry.collect(&mut tables, self.now);
            AllRows::read(&tables, self.now)
        };
        counters(&mut encoder, &names::REQUESTS, rows.requests)?;
        histograms(&mut encoder, rows.durations)?;
        counters(&mut encoder, &names::RETRIES, rows.retries)?;
        counters(&mut encoder, &names::TCP_CONNECTIONS, rows.tcp_connections)?;
        gauges(&mut encoder, &names::TCP_OPEN_CONNECTIONS, rows.tcp_open)?;
        counters(&mut encoder, &names::TCP_BYTES, rows.tcp_bytes)?;
        let plain: Vec<_> = {
            let families = self.registry.counters.lock();
            let rows = |(keys, cell): (&Vec<String>, &Arc<crate::Counter>)| (keys.clone(), cell.get());
            families.0.values().map(|f| (f.desc, f.series.iter().map(rows).collect::<Rows<u64>>())).collect()
        };
        for (desc, rows) in plain {
            counters(&mut encoder, desc, rows)?;
        }
        let plain: Vec<_> = {
            let families = self.registry.gauges.lock();
            let rows = |(keys, cell): (&Vec<String>, &Arc<crate::Gauge>)| (keys.clone(), cell.get());
            families.0.values().map(|f| (f.desc, f.series.iter().map(rows).collect::<Rows<i64>>())).collect()
        };
        for (desc, rows) in plain {
            gauges(&mut encoder, desc, rows)?;
        }
        let series = i64::try_from(self.registry.series()).unwrap_or(i64::MAX);
        gauges(&mut encoder, &names::METRICS_SERIES, Rows::from([(Vec::new(), series)]))
    }
}

#[derive(Default)]
struct AllRows {
    requests: Rows<u64>,
    durations: Rows<Histogram>,
    retries: Rows<u64>,
    tcp_connections: Rows<u64>,
    tcp_open: Rows<i64>,
    tcp_bytes: Rows<u64>,
}

impl AllRows {
    fn read(tables: &Tables, now: Instant) -> Self {
        let mut rows = Self::default();
        let requests = tables.requests.iter().filter(|(_, entry)| entry.is_shown(now));
        for (labels, outcome, tally) in requests
            .flat_map(|(labels, entry)| entry.outcomes.0.iter().map(move |(o, s)| (labels, o, &s.total)))
        {
            let value = |label: &str| label_value(label, labels, Some(outcome));
            *rows.requests.entry(values(&names::REQUESTS, value)).or_default() += tally.count();
            rows.durations.entry(values(&names::REQUEST_DURATION, value)).or_default().merge(&tally.latency);
            if tally.retries != 0 {
                *rows.retries.entry(values(&names::RETRIES, value)).or_default() += tally.retries;
            }
        }
        for ((labels, outcome), entry) in tables.tcp.iter().filter(|(_, entry)| entry.is_shown(now)) {
            let total = entry.sums.total;
            let value = |label: &str| label_value(label, labels, Some(outcome));
            *rows.tcp_connections.entry(values(&names::TCP_CONNECTIONS, value)).or_default() += total.opened;
            let open =
                i64::try_from(total.opened).unwrap_or(i64::MAX) - i64::try_from(total.closed).unwrap_or(0);
            *rows.tcp_open.entry(values(&names::TCP_OPEN_CONNECTIONS, value)).or_default() += open;
            for (flow, bytes) in [("received", total.received_bytes), ("sent", total.sent_bytes)] {
                let value = |label: &str| {
                    if label == "flow" { flow.to_owned() } else { value(label) }
                };
                *rows.tcp_bytes.entry(values(&names::TCP_BYTES, value)).or_default() += bytes;
            }
        }
        rows
    }
}

fn values(desc: &Desc, value: impl Fn(&str) -> String) -> Vec<String> {
    desc.labels.iter().map(|label| value(label)).collect()
}

fn label_value(label: &str, labels: &Labels, outcome: Option<&Outcome>) -> String {
    let overflow = labels.why == "overflow";
    let name = |name: Option<&byrnie_plan::ObjectName>| name.map(|n| n.name.clone()).unwrap_or_default();
    let namespace =
        |name: Option<&byrnie_plan::ObjectName>| name.map(|n| n.namespace.clone()).unwrap_or_default();
    match label {
        "direction" => labels.direction.as_str().to_owned(),
        "namespace" => namespace(labels.service.as_ref().or(labels.own())),
        "service" if overflow => "overflow".to_owned(),
        "service" => name(labels.service.as_ref()),
        "route" => labels.route.as_ref().map(ToString::to_string).unwrap_or_default(),
        "workload" => name(labels.own()),
        "peer" => name(labels.peer()),
        "peer_namespace" => match (labels.peer(), &labels.peer_identity) {
            (None, Some(identity)) => identity.namespace.clone(),
            (peer, _) => namespace(peer),
        },
        "peer_id" => labels.peer_identity.as_ref().map(ToString::to_string).unwrap_or_default(),
        "secured" => labels.secured.to_string(),
        "code" => outcome.map(|o| o.status.to_string()).unwrap_or_default(),
        "grpc_status" => outcome.and_then(|o| o.grpc_status).map(|s| s.to_string()).unwrap_or_default(),
        "error" => outcome.map(|o| o.error.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

fn pairs<'a>(desc: &Desc, values: &'a [String]) -> Vec<(&'static str, &'a str)> {
    desc.labels.iter().copied().zip(values.iter().map(String::as_str)).collect()
}

fn counters(encoder: &mut DescriptorEncoder<'_>, desc: &Desc, rows: Rows<u64>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(desc.name, desc.help, None, MetricType::Counter)?;
    for (values, count) in rows {
        let labels = pairs(desc, &values);
        let none = None::<&prometheus_client::metrics::exemplar::Exemplar<NoLabelSet, f64>>;
        match labels.is_empty() {
            true => family.encode_counter(&count, none)?,
            false => family.encode_family(&labels)?.encode_counter(&count, none)?,
        }
    }
    Ok(())
}

fn gauges(encoder: &mut DescriptorEncoder<'_>, desc: &Desc, rows: Rows<i64>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(desc.name, desc.help, None, MetricType::Gauge)?;
    for (values, value) in rows {
        let labels = pairs(desc, &values);
        match labels.is_empty() {
            true => family.encode_gauge(&value)?,
            false => ConstGauge::new(value).encode(family.encode_family(&labels)?)?,
        }
    }
    Ok(())
}

fn histograms(encoder: &mut DescriptorEncoder<'_>, rows: Rows<Histogram>) -> fmt::Result {
    let desc = &names::REQUEST_DURATION;
    if rows.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(desc.name, desc.help, None, MetricType::Histogram)?;
    for (values, histogram) in rows {
        let labels = pairs(desc, &values);
        let mut below = 0;
        let mut buckets = Vec::with_capacity(names::DURATION_BUCKETS_US.len() + 1);
        for bound in names::DURATION_BUCKETS_US {
            let up_to = histogram.count_up_to(bound);
            buckets.push((bound as f64 / 1e6, up_to - below));
            below = up_to;
        }
        let count = histogram.count();
        buckets.push((f64::INFINITY, count - below));
        let sum = histogram.sum_us as f64 / 1e6;
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
