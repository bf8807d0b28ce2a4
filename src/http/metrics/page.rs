//! A page of metrics in the text format of Prometheus: those that are kept, and those made of what is known at this moment.

use prometheus::{
    Error, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    core::{MetricVec, MetricVecBuilder},
    proto::MetricFamily,
};
use quorate_actors::NAMESPACE;

/// One sample: the values of its labels, and its own.
pub(super) type Sample<V, const N: usize> = ([String; N], V);

/// Metric families in the making.
pub(super) struct Page {
    kept: Vec<MetricFamily>,
    /// Of this moment. A registry, for it puts samples in order.
    made: Registry,
}

impl Page {
    /// Begins with what the registry keeps.
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            kept: registry.gather(),
            made: Registry::new(),
        }
    }

    /// What only grows. Its name ends in `_total`.
    pub(super) fn counter<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<u64, N>>,
    ) -> Result<(), Error> {
        let family = IntCounterVec::new(options(name, help), &labels)?;
        self.add(family, samples, |counter, count| counter.inc_by(count))
    }

    /// A number at this moment.
    pub(super) fn gauge<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<u64, N>>,
    ) -> Result<(), Error> {
        let family = IntGaugeVec::new(options(name, help), &labels)?;
        self.add(family, samples, |gauge, number| {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        })
    }

    /// A moment or a time, in seconds.
    pub(super) fn seconds<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<f64, N>>,
    ) -> Result<(), Error> {
        let family = GaugeVec::new(options(name, help), &labels)?;
        self.add(family, samples, |gauge, seconds| gauge.set(seconds))
    }

    fn add<B: MetricVecBuilder + 'static, V, const N: usize>(
        &self,
        family: MetricVec<B>,
        samples: impl IntoIterator<Item = Sample<V, N>>,
        set: impl Fn(&B::M, V),
    ) -> Result<(), Error> {
        for (values, value) in samples {
            set(&family.with_label_values(&values), value);
        }
        self.made.register(Box::new(family))
    }

    /// The text, in the order of names and labels. A family without samples is not in it.
    pub(super) fn text(self) -> Result<String, Error> {
        let mut families = self.kept;
        families.extend(self.made.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families)
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

/// The only sample of a family without labels.
pub(super) fn single<V>(value: V) -> [Sample<V, 0>; 1] {
    [([], value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_in_order_and_what_has_no_sample_is_left_out() {
        let page = Page::new(&Registry::new());
        let of = |label: &str, count| ([label.to_owned()], count);
        page.gauge("up", "It is", [], single(1)).unwrap();
        page.counter("things_total", "Things", ["kind"], [of("b", 2), of("a", 1)])
            .unwrap();
        page.counter("nothing_total", "Nothing", ["kind"], []).unwrap();
        assert_eq!(
            page.text().unwrap(),
            "# HELP quorate_things_total Things\n# TYPE quorate_things_total counter\n\
             quorate_things_total{kind=\"a\"} 1\nquorate_things_total{kind=\"b\"} 2\n\
             # HELP quorate_up It is\n# TYPE quorate_up gauge\nquorate_up 1\n"
        );
    }
}
