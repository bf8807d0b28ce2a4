//! Whether somebody else uses this node's key: who answers with our own PeerId is ourselves only if we see both ends.

use std::{collections::VecDeque, time::Duration};

use quorate_protocol::Instant;

use super::log_limit::LogLimit;

/// The two ends of a connection to ourselves show within milliseconds; a busy machine may take longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ends remembered. Each is settled within [`PATIENCE`].
const MAX_ENDS: usize = 32;

/// Connections that ended because both sides have the same key.
#[derive(Debug, Default)]
pub(super) struct DuplicateKey {
    outgoing: VecDeque<Instant>,
    incoming: VecDeque<Instant>,
}

impl DuplicateKey {
    /// We dialled, and our own key answered.
    pub(super) fn we_dialled(&mut self, now: Instant) {
        note(&mut self.outgoing, now);
    }

    /// Somebody dialled us, with our own key.
    pub(super) fn we_were_dialled(&mut self, now: Instant) {
        note(&mut self.incoming, now);
    }

    /// Whether an end turned out to be without its other one: it is with another node.
    pub(super) fn is_used_elsewhere(&mut self, now: Instant) -> bool {
        while let (Some(out), Some(inn)) = (self.outgoing.front(), self.incoming.front()) {
            if out.since(*inn).max(inn.since(*out)) > PATIENCE {
                break;
            }
            self.outgoing.pop_front();
            self.incoming.pop_front();
        }
        let is_alone =
            |ends: &mut VecDeque<Instant>| ends.pop_front_if(|end| now.since(*end) > PATIENCE).is_some();
        is_alone(&mut self.outgoing) | is_alone(&mut self.incoming)
    }
}

/// Another node was noticed that signs with our key.
pub(super) fn log(limit: &mut LogLimit, noticed_by: &str, now: Instant) {
    if let Some(count) = limit.count(now) {
        log::error!(
            "another node uses this node's key: noticed_by=\"{noticed_by}\" times={count} \
             remedy=\"give each node a key of its own; two with one key contradict each other\""
        );
    }
}

fn note(ends: &mut VecDeque<Instant>, now: Instant) {
    if ends.len() < MAX_ENDS {
        ends.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_start(Duration::from_millis(ms))
    }

    #[test]
    fn who_dials_itself_sees_both_ends() {
        let mut ours = DuplicateKey::default();
        ours.we_dialled(at(10));
        assert!(!ours.is_used_elsewhere(at(11)));
        ours.we_were_dialled(at(12));
        assert!((0..10).all(|second| !ours.is_used_elsewhere(at(second * 1000))));
    }

    #[test]
    fn one_end_alone_is_with_another_node() {
        for end in [DuplicateKey::we_dialled, DuplicateKey::we_were_dialled] {
            let mut ours = DuplicateKey::default();
            end(&mut ours, at(10));
            assert!(!ours.is_used_elsewhere(at(2010)), "the other end may be late");
            assert!(ours.is_used_elsewhere(at(2011)));
            assert!(!ours.is_used_elsewhere(at(2012)), "said once for each");
        }
    }

    #[test]
    fn however_often_somebody_dials_little_is_remembered() {
        let mut ours = DuplicateKey::default();
        (0..1000).for_each(|ms| ours.we_were_dialled(at(ms)));
        assert_eq!(ours.incoming.len(), MAX_ENDS);
    }
}
