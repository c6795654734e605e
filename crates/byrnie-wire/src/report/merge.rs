//! Putting two reports into one, for a stream that is slower than the reports.

use std::collections::HashMap;

use super::{Histogram, MAX_CELLS, Peers, Report, RequestCell, TcpCell};

impl Report {
    /// Adds a later report to this one. Cells beyond [`MAX_CELLS`] are left out and counted in
    /// `dropped_cells`. Histograms of another layout replace what was there: the sums would mean nothing.
    pub fn merge(&mut self, later: Report) {
        self.interval_ms = self.interval_ms.saturating_add(later.interval_ms);
        self.dropped_cells = self.dropped_cells.saturating_add(later.dropped_cells);
        if self.histogram_layout != later.histogram_layout {
            self.requests.iter_mut().for_each(|cell| cell.latency = Histogram::default());
            self.histogram_layout = later.histogram_layout;
        }
        let lost = merge_requests(&mut self.requests, later.requests)
            + merge_connections(&mut self.connections, later.connections);
        self.dropped_cells = self.dropped_cells.saturating_add(lost);
        self.pools = later.pools;
    }
}

fn merge_requests(into: &mut Vec<RequestCell>, later: Vec<RequestCell>) -> u64 {
    type Labels = (Peers, u16, Option<u16>);
    let labels = |cell: &RequestCell| -> Labels { (cell.peers.clone(), cell.status, cell.grpc_status) };
    let mut known: HashMap<Labels, usize> =
        into.iter().enumerate().map(|(index, cell)| (labels(cell), index)).collect();
    let mut lost = 0;
    for cell in later {
        let full = into.len() >= MAX_CELLS;
        let at = *known.entry(labels(&cell)).or_insert(into.len());
        match into.get_mut(at) {
            Some(sum) => {
                sum.count += cell.count;
                sum.retries += cell.retries;
                sum.request_bytes += cell.request_bytes;
                sum.response_bytes += cell.response_bytes;
                sum.latency.add(&cell.latency);
            }
            None if full => lost += 1,
            None => into.push(cell),
        }
    }
    lost
}

fn merge_connections(into: &mut Vec<TcpCell>, later: Vec<TcpCell>) -> u64 {
    let mut known: HashMap<Peers, usize> =
        into.iter().enumerate().map(|(index, cell)| (cell.peers.clone(), index)).collect();
    let mut lost = 0;
    for cell in later {
        let full = into.len() >= MAX_CELLS;
        let at = *known.entry(cell.peers.clone()).or_insert(into.len());
        match into.get_mut(at) {
            Some(sum) => {
                sum.opened += cell.opened;
                sum.closed += cell.closed;
                sum.received_bytes += cell.received_bytes;
                sum.sent_bytes += cell.sent_bytes;
            }
            None if full => lost += 1,
            None => into.push(cell),
        }
    }
    lost
}

impl Histogram {
    /// Adds another histogram of the same layout.
    pub fn add(&mut self, other: &Self) {
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        for &(bucket, count) in &other.buckets {
            match self.buckets.binary_search_by_key(&bucket, |(number, _)| *number) {
                Ok(at) => {
                    if let Some((_, sum)) = self.buckets.get_mut(at) {
                        *sum = sum.saturating_add(count);
                    }
                }
                Err(at) => self.buckets.insert(at, (bucket, count)),
            }
        }
    }

    /// How many values it holds.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}
