//! How exchanges answer, by source.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, Opts, Registry};
use quorate_prices::{SourceEvent, SourceSpec};
use quorate_protocol::Source;

use crate::histogram;

/// From an exchange next door with an open connection to the time after which it is given up.
const LATENCY: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0];

/// What the PriceFetcher measures. It outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct SourceMeasures {
    latency: HistogramVec,
    errors: IntCounterVec,
    outliers: IntCounterVec,
}

impl SourceMeasures {
    /// Measures of these sources, shown by `registry`.
    ///
    /// # Errors
    /// `registry` has metrics of these names already.
    pub fn new(registry: &Registry, sources: &[SourceSpec]) -> prometheus::Result<Self> {
        let counter = |name, help, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help).namespace(histogram::NAMESPACE), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let measures = Self {
            latency: histogram::register(
                registry,
                (
                    "source_latency_seconds",
                    "How long a source took for a usable answer",
                ),
                "source",
                &LATENCY,
            )?,
            errors: counter(
                "source_errors_total",
                "Answers of a source that gave no price, by the reason",
                &["source", "error"],
            )?,
            outliers: counter(
                "source_outliers_total",
                "Prices of a source that were left out, for the others agreed on another",
                &["source"],
            )?,
        };
        for spec in sources {
            let source = spec.kind().source();
            measures.latency.with_label_values(&[source.as_str()]);
            measures.outliers.with_label_values(&[source.as_str()]);
        }
        Ok(measures)
    }

    pub(super) fn answered(&self, source: &Source, took: Duration) {
        self.latency
            .with_label_values(&[source.as_str()])
            .observe(took.as_secs_f64());
    }

    pub(super) fn take_event(&self, event: &SourceEvent) {
        match event {
            SourceEvent::Failed { source, error, .. } => {
                let labels = [source.as_str(), error.name()];
                self.errors.with_label_values(&labels).inc();
            }
            SourceEvent::Outlier { quote, .. } => {
                self.outliers.with_label_values(&[quote.source.as_str()]).inc();
            }
            SourceEvent::Back { .. } | SourceEvent::Warned { .. } => {}
        }
    }
}
