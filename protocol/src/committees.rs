//! The current committee, and those that are good for what was in flight when it changed.

use std::{collections::VecDeque, time::Duration};

use crate::{
    address::Address,
    attestation::Attestation,
    committee::Committee,
    report::{Certificate, VerifiedReport},
    time::UnixMillis,
};

/// Committees before the current one that may still be in force: more changes in one window are not sensible.
const MAX_RETIRED: usize = 4;

/// The current committee, and those that it replaced a moment ago.
///
/// A report that was in flight when the members changed is good by the old committee for a while (one write window); a
/// report that was observed afterwards never is.
#[derive(Debug, Clone)]
pub struct Committees {
    current: Committee,
    /// Newest first, each with the time at which it was replaced.
    retired: VecDeque<(Committee, UnixMillis)>,
    overlap: Duration,
}

impl Committees {
    /// Only `current`; what it is replaced by leaves it in force for `overlap`.
    pub fn new(current: Committee, overlap: Duration) -> Self {
        Self {
            current,
            retired: VecDeque::new(),
            overlap,
        }
    }

    /// From `now` on, another one is current.
    pub fn replace(&mut self, committee: Committee, now: UnixMillis) {
        if committee == self.current {
            return;
        }
        let replaced = std::mem::replace(&mut self.current, committee);
        self.retired.push_front((replaced, now));
        self.retired.truncate(MAX_RETIRED);
    }

    /// The one that counts for what is observed from now on.
    pub fn current(&self) -> &Committee {
        &self.current
    }

    /// Those by which an observation of `observed_at` may be judged at `now`, the current one first.
    pub fn in_force(
        &self,
        observed_at: UnixMillis,
        now: UnixMillis,
    ) -> impl Iterator<Item = &Committee> + Clone {
        let still = move |(_, replaced_at): &&(Committee, UnixMillis)| {
            observed_at <= *replaced_at && now.since(*replaced_at) <= self.overlap
        };
        let retired = self.retired.iter().filter(still).map(|(committee, _)| committee);
        std::iter::once(&self.current).chain(retired)
    }

    /// The first signer who is a member in no committee in force.
    pub fn stranger(
        &self,
        attestations: &[Attestation],
        observed_at: UnixMillis,
        now: UnixMillis,
    ) -> Option<Address> {
        let admitted = |signer: &Address| self.in_force(observed_at, now).any(|e| e.members.admit(signer));
        attestations
            .iter()
            .map(|a| a.signer)
            .find(|signer| !admitted(signer))
    }

    /// The certificate, if this report is quorate in a committee in force; `live` nodes count in an open network.
    pub fn certify(&self, report: &VerifiedReport, live: usize, now: UnixMillis) -> Option<Certificate> {
        let observed_at = report.observation().observed_at();
        self.in_force(observed_at, now)
            .find_map(|committee| report.certify(committee, live))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{members::Members, quorum::QuorumRule};

    const WINDOW: Duration = Duration::from_secs(30);

    fn committee(numbers: std::ops::RangeInclusive<u8>) -> Committee {
        Committee {
            members: Members::Closed(numbers.map(|n| Address::new([n; 20])).collect()),
            rule: QuorumRule::at_least(3),
        }
    }

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::new(1_700_000_000_000 + ms)
    }

    #[test]
    fn a_report_in_flight_keeps_the_old_committee_for_one_window() {
        let mut committees = Committees::new(committee(1..=5), WINDOW);
        committees.replace(committee(2..=6), at(1000));
        let in_force = |observed_at, now| committees.in_force(observed_at, now).count();
        assert_eq!(
            in_force(at(1000), at(31_000)),
            2,
            "observed before the change, within a window of it"
        );
        assert_eq!(in_force(at(1001), at(1002)), 1, "observed after the change");
        assert_eq!(in_force(at(1000), at(31_001)), 1, "the window is over");
        assert_eq!(committees.current(), &committee(2..=6));
    }

    #[test]
    fn the_same_committee_again_is_no_change() {
        let mut committees = Committees::new(committee(1..=5), WINDOW);
        committees.replace(committee(1..=5), at(0));
        assert_eq!(committees.in_force(at(0), at(0)).count(), 1);
    }

    #[test]
    fn however_often_it_changes_few_are_remembered() {
        let mut committees = Committees::new(committee(1..=5), WINDOW);
        for n in 6..=40 {
            committees.replace(committee(1..=n), at(n.into()));
        }
        assert_eq!(committees.in_force(at(0), at(50)).count(), 1 + MAX_RETIRED);
    }
}
