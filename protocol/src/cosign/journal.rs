//! What a node has put its name to: the one way to a signature under an observation.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::Refusal;
use crate::{
    address::Address,
    digest::Digest,
    evidence::AgreedPrice,
    link::Link,
    names::{Feed, Network},
    observation::Observation,
    report::VerifiedReport,
    signing::NodeKey,
    time::UnixMillis,
};

/// What the signer has put its name to: the last gate, beside the key, whatever it is asked.
///
/// Of each observer, this node's own statements included, it signs one observation for one window: of those that follow the same
/// record and are less than half a window apart, one. It refuses everything observed before it began, since the process before
/// it may have signed the opposite.
#[derive(Debug)]
pub struct SigningJournal {
    not_before: UnixMillis,
    one_window: Duration,
    signed: HashMap<(Feed, Address), Vec<Signed>>,
    order: VecDeque<(Feed, Address, UnixMillis)>,
}

/// An observation that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signed {
    link: Link,
    observed_at: UnixMillis,
    digest: Digest,
}

/// Entries kept: at one signature a second, over an hour, and no observation lives that long.
const MAX_JOURNAL: usize = 4096;

impl SigningJournal {
    /// An empty journal that begins at `now`. Two observations of one observer less than `one_window` apart
    /// ([`crate::one_window`]) are for the same window.
    pub fn new(now: UnixMillis, one_window: Duration) -> Self {
        Self {
            not_before: now,
            one_window,
            signed: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Signs this price as the key's own observation, as the record with this place, after entering it.
    ///
    /// # Errors
    /// Something else was stated for the same window, or may have been: nothing is signed.
    pub fn state(
        &mut self,
        link: Link,
        price: AgreedPrice,
        network: &Network,
        key: &NodeKey,
    ) -> Result<VerifiedReport, Refusal> {
        let observation =
            Observation::new(price.feed, link, price.observed_at, key.address(), price.evidence);
        let digest = observation.digest(network);
        self.enter(&observation, digest)?;
        Ok(VerifiedReport::signed(observation, digest, key))
    }

    /// Adds the key's signature to a report, after entering it. The same report again is fine.
    ///
    /// # Errors
    /// Something else of its observer was signed for the same window, or may have been: nothing is signed.
    pub fn cosign(&mut self, report: VerifiedReport, key: &NodeKey) -> Result<VerifiedReport, Refusal> {
        self.enter(report.observation(), report.digest())?;
        Ok(report.cosigned_by(key))
    }

    /// Enters a signature, or says why it must not be made. Entering the same one again is fine.
    fn enter(&mut self, observation: &Observation, digest: Digest) -> Result<(), Refusal> {
        let (observer, observed_at) = (observation.observer(), observation.observed_at());
        if observed_at < self.not_before {
            return Err(Refusal::BeforeStart);
        }
        let key = (observation.feed().clone(), observer);
        let signed = self.signed.get(&key).map_or(&[][..], Vec::as_slice);
        let this = Signed {
            link: observation.link(),
            observed_at,
            digest,
        };
        if signed.contains(&this) {
            return Ok(());
        }
        let is_rival = |other: &Signed| {
            other.link == this.link && other.observed_at.apart(observed_at) < self.one_window
        };
        if signed.iter().any(is_rival) {
            return Err(Refusal::SignedAnother { observer });
        }
        if self.order.len() == MAX_JOURNAL {
            self.forget_oldest();
        }
        self.order.push_back((key.0.clone(), observer, observed_at));
        self.signed.entry(key).or_default().push(this);
        Ok(())
    }

    /// What is forgotten must never be signed anew, nor contradicted.
    fn forget_oldest(&mut self) {
        let Some((feed, observer, observed_at)) = self.order.pop_front() else {
            return;
        };
        let after = observed_at.get().saturating_add(1);
        self.not_before = self.not_before.max(UnixMillis::new(after));
        let key = (feed, observer);
        if let Some(signed) = self.signed.get_mut(&key) {
            signed.retain(|signed| signed.observed_at != observed_at);
            if signed.is_empty() {
                self.signed.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Quote};

    const WINDOW: Duration = Duration::from_secs(15);
    const NOON: u64 = 1_700_000_000_000;

    fn observation(price: &str, at: u64) -> Observation {
        observation_for(Link::FIRST, price, at)
    }

    fn observation_for(link: Link, price: &str, at: u64) -> Observation {
        let at = UnixMillis::new(at);
        let quote = Quote {
            source: "coinbase".parse().unwrap(),
            price: price.parse().unwrap(),
            at,
        };
        let evidence = Evidence::new(vec![quote]).unwrap();
        let feed = "ETH/USD".parse().unwrap();
        Observation::new(feed, link, at, Address::new([1; 20]), evidence)
    }

    #[test]
    fn a_signer_never_puts_its_name_to_two_statements_for_one_window() {
        let network = "local".parse().unwrap();
        let mut journal = SigningJournal::new(UnixMillis::new(NOON), WINDOW);
        let (first, second) = (observation("3000", NOON), observation("3001", NOON));
        assert_eq!(journal.enter(&first, first.digest(&network)), Ok(()));
        assert_eq!(
            journal.enter(&first, first.digest(&network)),
            Ok(()),
            "the same again"
        );
        let observer = first.observer();
        assert_eq!(
            journal.enter(&second, second.digest(&network)),
            Err(Refusal::SignedAnother { observer })
        );
        for (ms, entered) in [
            (14_999, Err(Refusal::SignedAnother { observer })),
            (15_000, Ok(())),
        ] {
            let later = observation("3001", NOON + ms);
            assert_eq!(
                journal.enter(&later, later.digest(&network)),
                entered,
                "{ms} ms later"
            );
        }
        let after_a_record = observation_for(Link::after(1, first.digest(&network)), "3001", NOON + 1);
        assert_eq!(
            journal.enter(&after_a_record, after_a_record.digest(&network)),
            Ok(())
        );
    }

    #[test]
    fn a_new_process_refuses_what_the_one_before_may_have_signed() {
        let network = "local".parse().unwrap();
        let mut journal = SigningJournal::new(UnixMillis::new(NOON), WINDOW);
        let before = observation("3000", NOON - 1);
        assert_eq!(
            journal.enter(&before, before.digest(&network)),
            Err(Refusal::BeforeStart)
        );
    }

    #[test]
    fn what_the_journal_forgets_can_never_be_signed_again() {
        let network = "local".parse().unwrap();
        let mut journal = SigningJournal::new(UnixMillis::new(NOON), WINDOW);
        for n in 0..=MAX_JOURNAL as u64 {
            let observation = observation("3000", NOON + n * 15_000);
            assert_eq!(journal.enter(&observation, observation.digest(&network)), Ok(()));
        }
        assert_eq!(journal.signed.values().map(Vec::len).sum::<usize>(), MAX_JOURNAL);
        let forgotten = observation("3001", NOON);
        assert_eq!(
            journal.enter(&forgotten, forgotten.digest(&network)),
            Err(Refusal::BeforeStart)
        );
    }
}
