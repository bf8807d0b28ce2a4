//! A page of metrics in the text format of Prometheus: those that are kept, and those made of what is known at this moment.

use prometheus::{
    Error, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
    proto::MetricFamily,
};
use quorate_actors::NAMESPACE;

/// One sample: the values of its labels, and its own.
pub(super) type Sample<V, const N: usize> = ([String; N], V);

/// Metric families in the making.
pub(super) struct Page {
    families: Vec<MetricFamily>,
}

impl Page {
    /// Begins with what the registry keeps.
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            families: registry.gather(),
        }
    }

    /// What only grows. Its name ends in `_total`.
    pub(super) fn counter<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<u64, N>>,
    ) -> Result<(), Error> {
        let family = IntCounterVec::new(options(name, help), &labels)?;
        for (values, count) in samples {
            family.with_label_values(&values).inc_by(count);
        }
        self.add(&family);
        Ok(())
    }

    /// A number at this moment.
    pub(super) fn gauge<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<u64, N>>,
    ) -> Result<(), Error> {
        let family = IntGaugeVec::new(options(name, help), &labels)?;
        for (values, number) in samples {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            family.with_label_values(&values).set(number);
        }
        self.add(&family);
        Ok(())
    }

    /// A moment or a time, in seconds.
    pub(super) fn seconds<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<f64, N>>,
    ) -> Result<(), Error> {
        let family = GaugeVec::new(options(name, help), &labels)?;
        for (values, seconds) in samples {
            family.with_label_values(&values).set(seconds);
        }
        self.add(&family);
        Ok(())
    }

    /// The text, in the order of the names. A family without samples is not in it.
    pub(super) fn text(mut self) -> Result<String, Error> {
        self.families.retain(|family| !family.get_metric().is_empty());
        self.families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&self.families)
    }

    fn add(&mut self, family: &impl Collector) {
        self.families.extend(family.collect());
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

/// The only sample of a family without labels.
pub(super) fn single<V>(value: V) -> [Sample<V, 0>; 1] {
    [([], value)]
}
