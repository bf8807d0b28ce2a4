//! Distributions of durations, for Prometheus.

use prometheus::{HistogramOpts, HistogramVec, Registry};

/// What every metric's name starts with.
pub const NAMESPACE: &str = "quorate";

/// A histogram in seconds for each value of one label, shown by `registry`.
///
/// # Errors
/// A name that is none, or is taken: a defect of the caller.
pub(crate) fn register(
    registry: &Registry,
    (name, help): (&str, &str),
    label: &str,
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help)
        .namespace(NAMESPACE)
        .buckets(buckets.to_vec());
    let histogram = HistogramVec::new(options, &[label])?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}
