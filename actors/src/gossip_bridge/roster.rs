//! What the Aggregator has been told about who is up, so that a full mailbox delays the news and never loses it.

use std::collections::BTreeSet;

use quorate_protocol::Address;

/// Something that the Aggregator does not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Up(Address),
    Down(Address),
}

#[derive(Debug, Default)]
pub(super) struct Roster {
    told: BTreeSet<Address>,
}

impl Roster {
    /// What is to be told, given who is up.
    pub(super) fn news(&self, up: &BTreeSet<Address>) -> Vec<News> {
        let down = self.told.difference(up).copied().map(News::Down);
        down.chain(up.difference(&self.told).copied().map(News::Up))
            .collect()
    }

    /// This was told.
    pub(super) fn told(&mut self, news: News) {
        match news {
            News::Up(address) => self.told.insert(address),
            News::Down(address) => self.told.remove(&address),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_stay_news_until_they_are_told() {
        let (a, b) = (Address::new([1; 20]), Address::new([2; 20]));
        let mut roster = Roster::default();
        let up = BTreeSet::from([a, b]);
        assert_eq!(roster.news(&up), [News::Up(a), News::Up(b)]);
        roster.told(News::Up(a));
        assert_eq!(roster.news(&up), [News::Up(b)]);
        assert_eq!(roster.news(&BTreeSet::new()), [News::Down(a)]);
        roster.told(News::Down(a));
        assert!(roster.news(&BTreeSet::new()).is_empty());
    }
}
