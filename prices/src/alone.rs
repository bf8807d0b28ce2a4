//! Which feeds a source is asked for alone although it could be asked for several: one that it refuses would spoil the others' answer.

use std::collections::BTreeSet;

use quorate_protocol::Feed;

use crate::source::SourceKind;

/// Feeds of one source that are asked for alone at a time. When more are in trouble, it is the exchange's, not theirs: asking for each
/// alone would only be more requests.
const MAX_ALONE: usize = 8;

/// The feeds that are asked for alone, by source.
#[derive(Debug, Default)]
pub struct Alone(BTreeSet<(SourceKind, Feed)>);

impl Alone {
    /// Whether this source is asked for this feed alone.
    pub fn contains(&self, source: SourceKind, feed: &Feed) -> bool {
        // A pair of a set is only found by a pair, and there are few.
        self.0
            .iter()
            .any(|(kind, known)| *kind == source && known == feed)
    }

    /// An answer about several feeds held no price of this one: from now on it is asked for alone. `false`: too many are.
    pub fn insert(&mut self, source: SourceKind, feed: &Feed) -> bool {
        let of_source = self.0.iter().filter(|(kind, _)| *kind == source).count();
        of_source < MAX_ALONE && self.0.insert((source, feed.clone()))
    }

    /// The source has given a price of it.
    pub fn remove(&mut self, source: SourceKind, feed: &Feed) {
        self.0.remove(&(source, feed.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_feeds_of_a_source_are_asked_for_alone_and_no_more_when_all_fail() {
        let mut alone = Alone::default();
        let feeds: Vec<Feed> = (0..20).map(|n| format!("C{n}/USD").parse().unwrap()).collect();
        let mut insert = |source| feeds.iter().filter(|feed| alone.insert(source, feed)).count();
        assert_eq!(insert(SourceKind::Kraken), MAX_ALONE);
        assert_eq!(insert(SourceKind::Coingecko), MAX_ALONE);
        assert!(alone.contains(SourceKind::Kraken, &feeds[0]));
        alone.remove(SourceKind::Kraken, &feeds[0]);
        assert!(!alone.contains(SourceKind::Kraken, &feeds[0]));
        assert!(alone.contains(SourceKind::Coingecko, &feeds[0]));
        assert!(alone.insert(SourceKind::Kraken, &feeds[19]));
    }
}
