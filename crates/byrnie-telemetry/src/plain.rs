//! Counters and gauges with few, known series: one cell for the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::Desc;
use crate::cells::bounded;

/// Series of one such metric at most; more share one whose labels are all `overflow`.
const SERIES_LIMIT: usize = 200;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Adds some.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Changes it.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Relaxed);
    }

    /// As it is.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// All series of one metric, by label values.
#[derive(Debug)]
pub(crate) struct Family<T> {
    pub(crate) desc: &'static Desc,
    pub(crate) series: BTreeMap<Vec<String>, Arc<T>>,
}

/// All metrics of one kind, by name.
#[derive(Debug)]
pub(crate) struct Families<T>(pub(crate) BTreeMap<&'static str, Family<T>>);

impl<T> Default for Families<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Default> Families<T> {
    /// The cell of these label values; missing values are empty, surplus ones ignored.
    pub(crate) fn cell(&mut self, desc: &'static Desc, values: &[&str]) -> Arc<T> {
        let family = self.0.entry(desc.name).or_insert_with(|| Family { desc, series: BTreeMap::new() });
        let mut key: Vec<String> =
            (0..desc.labels.len()).map(|i| bounded(values.get(i).copied().unwrap_or_default())).collect();
        if family.series.len() >= SERIES_LIMIT && !family.series.contains_key(&key) {
            key.fill("overflow".to_owned());
        }
        Arc::clone(family.series.entry(key).or_default())
    }
}
