//! Whether somebody else uses this node's key: who answers with our own PeerId is ourselves only if we see both ends.

use std::{collections::VecDeque, time::Duration};

use quorate_protocol::Instant;

/// The two ends of a connection to ourselves show within milliseconds; a busy machine may take longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ends remembered. Each is settled within [`PATIENCE`].
const MAX_ENDS: usize = 32;

/// Connections that ended because both sides have the same key.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    outgoing: VecDeque<Instant>,
    incoming: VecDeque<Instant>,
}

impl Mirror {
    /// We dialled, and our own key answered.
    pub(super) fn outgoing(&mut self, now: Instant) {
        note(&mut self.outgoing, now);
    }

    /// Somebody dialled us, with our own key.
    pub(super) fn incoming(&mut self, now: Instant) {
        note(&mut self.incoming, now);
    }

    /// Whether an end turned out to be without its other one: it is with another node.
    pub(super) fn has_twin(&mut self, now: Instant) -> bool {
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
        let mut mirror = Mirror::default();
        mirror.outgoing(at(10));
        assert!(!mirror.has_twin(at(11)));
        mirror.incoming(at(12));
        assert!((0..10).all(|second| !mirror.has_twin(at(second * 1000))));
    }

    #[test]
    fn one_end_alone_is_with_another_node() {
        for end in [Mirror::outgoing, Mirror::incoming] {
            let mut mirror = Mirror::default();
            end(&mut mirror, at(10));
            assert!(!mirror.has_twin(at(2010)), "the other end may be late");
            assert!(mirror.has_twin(at(2011)));
            assert!(!mirror.has_twin(at(2012)), "said once for each");
        }
    }

    #[test]
    fn however_often_somebody_dials_little_is_remembered() {
        let mut mirror = Mirror::default();
        (0..1000).for_each(|ms| mirror.incoming(at(ms)));
        assert_eq!(mirror.incoming.len(), MAX_ENDS);
    }
}
