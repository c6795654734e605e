//! What is seen of the traffic: counters, latency histograms, access log, tap.
//!
//! ```text
//! worker ─► RequestSeries / TcpCell (atomics of that worker, one add per number)
//!                 │ collect (each second, and at a scrape)
//!                 ▼
//!             Registry ─► render (Prometheus text)     ─► Delta ─► control plane ─► Window (five minutes)
//! ```
//! Handles are resolved once for each (route, endpoint, peer) and kept by whoever uses them; what happens for each
//! request takes no lock and looks up no name. Label sets are closed and their number is bounded: what is beyond goes
//! to one series named `overflow`.
//!
//! Must never know: policy, routing, sockets, the wire. Time is a parameter.

mod access_log;
mod cells;
mod delta;
mod histogram;
mod labels;
pub mod names;
mod plain;
mod registry;
mod render;
mod tally;
mod tap;
mod window;

pub use access_log::{AccessEntry, AccessLogWriter, LogFormat};
pub use cells::{RequestEnd, RequestSeries, TcpCell};
pub use delta::{Delta, RequestDelta, TcpDelta};
pub use histogram::{BUCKETS, HISTOGRAM_LAYOUT, Histogram, bucket_of, bucket_upper_us};
pub use labels::{Direction, Labels, Outcome};
pub use names::Desc;
pub use plain::{Counter, Gauge};
pub use registry::{IDLE_AFTER, Registry, RegistrySettings};
pub use tally::{RequestTally, TcpTally};
pub use tap::{TapEnd, TapEvent, TapFilter, TapHub, TapResponse, TapStart, TapView, TapWatch, TapWhat};
pub use window::{RequestKey, RequestTotals, TcpKey, TcpTotals, Window, WindowSettings};
