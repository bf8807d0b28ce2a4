//! What a node thinks of a message from the network: cheap checks first, signatures last, nothing kept without bound.
//!
//! The table of findings stands in docs/protocol.md; `protocol/tests/judging_table.rs` holds the two together.

mod finding;
mod memory;

use std::{collections::BTreeSet, time::Duration};

pub use finding::{Finding, Verdict};
use memory::Memory;

use crate::{
    address::Address,
    committee::{Committee, Committees, Members},
    digest::Digest,
    equivocation::{Equivocation, EquivocationError, ProvenEquivocation, one_window},
    heartbeat::Heartbeat,
    message::Message,
    names::{Feed, Network},
    refusal_notice::RefusalNotice,
    report::{Certificate, Report, VerifiedReport},
    time::UnixMillis,
    written::Written,
};

/// What the judge holds messages against.
#[derive(Debug, Clone)]
pub struct JudgeConfig {
    /// The network whose messages count.
    pub network: Network,
    /// The feeds that this node follows.
    pub feeds: BTreeSet<Feed>,
    /// This node: nobody else should sign with its key.
    pub me: Address,
    /// Who counts when the node starts, and when a certificate is one.
    pub committee: Committee,
    /// How long a replaced committee stays good for what was in flight.
    pub overlap: Duration,
    /// How far apart two observations of one observer for one record do not contradict each other.
    pub one_window: Duration,
    /// Oldest observation worth a signature. Older ones come from replays or lame clocks.
    pub max_age: Duration,
    /// Oldest observation that news of a written record may be about: longer, for a database may have been away.
    pub max_written_age: Duration,
    /// How far a sender's clock may be ahead of ours.
    pub future_tolerance: Duration,
}

impl JudgeConfig {
    /// Clocks kept by NTP differ by milliseconds; by more than this, somebody's is wrong.
    pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(5);

    /// The limits that go with a write window of this length.
    pub fn new(
        network: Network,
        feeds: BTreeSet<Feed>,
        me: Address,
        committee: Committee,
        write_interval: Duration,
    ) -> Self {
        Self {
            network,
            feeds,
            me,
            committee,
            overlap: write_interval,
            one_window: one_window(write_interval),
            max_age: write_interval,
            max_written_age: write_interval * 3,
            future_tolerance: Self::FUTURE_TOLERANCE,
        }
    }
}

/// A message that passed: the only way for anything from the network into the rounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// A report with at least one attestation that was not known.
    Report(VerifiedReport),
    /// A certificate and who claims to have written it.
    Written {
        /// The certificate.
        certificate: Certificate,
        /// The claimed, authenticated writer.
        writer: Address,
        /// When, by the database's clock as the writer read it.
        written_at: UnixMillis,
    },
    /// A sign of life.
    Heartbeat(Heartbeat),
    /// Why a peer does not sign an observation.
    Refusal(RefusalNotice),
    /// Two contradicting statements of one observer.
    Equivocation(Box<ProvenEquivocation>),
}

/// Judges messages, remembering what it saw so that nothing is verified twice.
#[derive(Debug)]
pub struct Judge {
    config: JudgeConfig,
    committees: Committees,
    /// What this node said before is not remembered, and may come back.
    since: UnixMillis,
    memory: Memory,
    /// How many signatures were recovered: what judging costs.
    recovered: u64,
}

impl Judge {
    /// A judge that begins at `now` and has seen nothing yet.
    pub fn new(config: JudgeConfig, now: UnixMillis) -> Self {
        Self {
            committees: Committees::new(config.committee.clone(), config.overlap),
            memory: Memory::of_feeds(config.feeds.len()),
            config,
            since: now,
            recovered: 0,
        }
    }

    /// From `now` on, others count. What is in flight stays good by the old committee for a while.
    pub fn replace_committee(&mut self, committee: Committee, now: UnixMillis) {
        if let Members::Closed(members) = &committee.members {
            self.memory.forget_all_but(members);
        }
        self.committees.replace(committee, now);
    }

    /// Who counts now.
    pub fn committee(&self) -> &Committee {
        self.committees.current()
    }

    /// Judges the bytes of one message that was received at `seen_at`.
    pub fn judge(&mut self, bytes: &[u8], seen_at: UnixMillis) -> Result<Verified, Finding> {
        self.memory.forget_before(seen_at, self.config.max_written_age);
        match Message::decode(bytes, &self.config.network).map_err(Finding::Malformed)? {
            Message::Report(report) => self.judge_report(report, seen_at).map(Verified::Report),
            Message::Written(written) => self.judge_written(written, seen_at),
            Message::Heartbeat(heartbeat) => self.judge_heartbeat(heartbeat, seen_at),
            Message::Refusal(notice) => self.judge_refusal(notice, seen_at),
            Message::Equivocation(claim) => self.judge_equivocation(claim, seen_at),
        }
    }

    /// Remembers a message of our own, so that its echo is known.
    pub fn remember_own(&mut self, message: &Message) {
        let report = match message {
            Message::Report(report) => Some((report, false)),
            Message::Written(written) => Some((&written.report, true)),
            Message::Heartbeat(heartbeat) => {
                self.memory.record_heartbeat(self.config.me, heartbeat.sent_at);
                None
            }
            Message::Refusal(_) | Message::Equivocation(_) => None,
        };
        // Every signature in it was verified, or made, before it was sent: all are known, so none is recovered again.
        if let Some((report, settled)) = report
            && let Ok(report) = report.clone().verify(&self.config.network, |_, _| true)
        {
            self.memory.record(report, settled);
        }
    }

    fn judge_report(&mut self, report: Report, seen_at: UnixMillis) -> Result<VerifiedReport, Finding> {
        self.check_feed_and_time(&report, seen_at, self.config.max_age)?;
        let digest = self.digest_of(&report);
        if self.memory.is_settled(&digest) {
            return Err(Finding::Settled);
        }
        if report
            .attestations()
            .iter()
            .all(|attestation| self.memory.is_known(digest, attestation))
        {
            return Err(Finding::Duplicate);
        }
        self.check_members(&report, seen_at)?;
        if !self.memory.knows(&digest) && self.memory.is_full_of(report.observation()) {
            return Err(Finding::Overload);
        }
        let is_ours = report.observation().observer() == self.config.me;
        let verified = self.verify(report, digest)?;
        if is_ours && !self.memory.knows(&digest) && verified.observation().observed_at() > self.since {
            return Err(Finding::OurKey);
        }
        if let Some(proof) = self.memory.contradiction(&verified, self.config.one_window) {
            self.memory.record_accused(proof.observer(), seen_at);
            return Err(Finding::Equivocation(Box::new(proof)));
        }
        self.memory.record(verified.clone(), false);
        Ok(verified)
    }

    fn judge_written(&mut self, written: Written, seen_at: UnixMillis) -> Result<Verified, Finding> {
        self.check_feed_and_time(&written.report, seen_at, self.config.max_written_age)?;
        let digest = self.digest_of(&written.report);
        if self.memory.is_settled(&digest) {
            return Err(Finding::Settled);
        }
        let observed_at = written.report.observation().observed_at();
        self.check_member(written.writer, observed_at, seen_at)?;
        self.check_members(&written.report, seen_at)?;
        self.recovered += 1;
        if !written.is_authentic(&self.config.network, digest) {
            return Err(Finding::BadSignature(format!(
                "the writer {} did not sign this",
                written.writer
            )));
        }
        let (writer, written_at) = (written.writer, written.written_at);
        let verified = self.verify(written.report, digest)?;
        // In an open network the number of members is a matter of opinion, so only the fixed part of the rule counts.
        let Some(certificate) = self.committees.certify(&verified, 0, seen_at) else {
            let signatures = verified.signatures().len();
            return Err(Finding::NotQuorate {
                signatures,
                required: self.committees.current().required(0),
            });
        };
        self.memory.record(verified, true);
        Ok(Verified::Written {
            certificate,
            writer,
            written_at,
        })
    }

    fn judge_heartbeat(&mut self, heartbeat: Heartbeat, seen_at: UnixMillis) -> Result<Verified, Finding> {
        self.check_time(heartbeat.sent_at, seen_at, self.config.max_age)?;
        if self
            .memory
            .last_heartbeat(&heartbeat.node)
            .is_some_and(|last| heartbeat.sent_at <= last)
        {
            return Err(Finding::Duplicate);
        }
        self.check_member(heartbeat.node, heartbeat.sent_at, seen_at)?;
        self.recovered += 1;
        if !heartbeat.is_authentic(&self.config.network) {
            return Err(Finding::BadSignature(format!(
                "the node {} did not sign this heartbeat",
                heartbeat.node
            )));
        }
        if heartbeat.node == self.config.me {
            // One from before this judge is our own, come back.
            let is_ours = heartbeat.sent_at <= self.since;
            return Err(if is_ours {
                Finding::Duplicate
            } else {
                Finding::OurKey
            });
        }
        if !self.memory.record_heartbeat(heartbeat.node, heartbeat.sent_at) {
            return Err(Finding::Overload);
        }
        Ok(Verified::Heartbeat(heartbeat))
    }

    fn judge_refusal(&mut self, notice: RefusalNotice, seen_at: UnixMillis) -> Result<Verified, Finding> {
        self.check_time(notice.sent_at, seen_at, self.config.max_age)?;
        self.check_member(notice.node, notice.sent_at, seen_at)?;
        self.check_member(notice.observer, notice.sent_at, seen_at)?;
        self.recovered += 1;
        if !notice.is_authentic(&self.config.network) {
            return Err(Finding::BadSignature(format!(
                "the node {} did not sign this refusal",
                notice.node
            )));
        }
        if !self
            .memory
            .record_refusal(notice.node, seen_at, self.config.max_age)
        {
            return Err(Finding::Overload);
        }
        Ok(Verified::Refusal(notice))
    }

    fn judge_equivocation(&mut self, claim: Equivocation, seen_at: UnixMillis) -> Result<Verified, Finding> {
        let (first, second) = claim.reports();
        for report in [first, second] {
            self.check_feed_and_time(report, seen_at, self.config.max_written_age)?;
            self.check_members(report, seen_at)?;
        }
        // One proof is enough for a window.
        if self
            .memory
            .is_accused(&claim.observer(), seen_at, self.config.one_window)
        {
            return Err(Finding::Duplicate);
        }
        self.recovered += 2;
        let proof = claim
            .verify(&self.config.network, self.config.one_window)
            .map_err(|error| match error {
                EquivocationError::Signature(error) => Finding::BadSignature(error.to_string()),
                EquivocationError::NoContradiction => Finding::NoProof(error.to_string()),
            })?;
        self.memory.record_accused(proof.observer(), seen_at);
        // The signer makes one statement for a record and window, so somebody else made the other.
        if proof.observer() == self.config.me {
            return Err(Finding::OurKey);
        }
        Ok(Verified::Equivocation(Box::new(proof)))
    }

    fn check_feed_and_time(
        &self,
        report: &Report,
        seen_at: UnixMillis,
        max_age: Duration,
    ) -> Result<(), Finding> {
        let observation = report.observation();
        if !self.config.feeds.contains(observation.feed()) {
            return Err(Finding::OtherFeed(observation.feed().clone()));
        }
        self.check_time(observation.observed_at(), seen_at, max_age)
    }

    fn check_time(&self, at: UnixMillis, seen_at: UnixMillis, max_age: Duration) -> Result<(), Finding> {
        let (age, ahead) = (seen_at.since(at), at.since(seen_at));
        if age > max_age {
            return Err(Finding::Stale { age, limit: max_age });
        }
        if ahead > self.config.future_tolerance {
            return Err(Finding::Future {
                ahead,
                limit: self.config.future_tolerance,
            });
        }
        Ok(())
    }

    /// The observer is one of the signers: the decoder sees to that.
    fn check_members(&self, report: &Report, seen_at: UnixMillis) -> Result<(), Finding> {
        let observed_at = report.observation().observed_at();
        match self
            .committees
            .stranger(report.attestations(), observed_at, seen_at)
        {
            Some(stranger) => Err(Finding::UnknownSigner(stranger)),
            None => Ok(()),
        }
    }

    fn check_member(&self, node: Address, at: UnixMillis, seen_at: UnixMillis) -> Result<(), Finding> {
        let mut in_force = self.committees.in_force(at, seen_at);
        if in_force.any(|committee| committee.members.admit(&node)) {
            Ok(())
        } else {
            Err(Finding::UnknownSigner(node))
        }
    }

    fn digest_of(&self, report: &Report) -> Digest {
        let observation = report.observation();
        let known = self.memory.digest_of(observation);
        known.unwrap_or_else(|| observation.digest(&self.config.network))
    }

    fn verify(&mut self, report: Report, digest: Digest) -> Result<VerifiedReport, Finding> {
        let (memory, recovered) = (&self.memory, &mut self.recovered);
        report
            .verify_with(digest, |digest, attestation| {
                let is_known = memory.is_known(digest, attestation);
                *recovered += u64::from(!is_known);
                is_known
            })
            .map_err(|error| Finding::BadSignature(error.to_string()))
    }

    /// How many signatures this judge has recovered. Known ones are not recovered again.
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// How many observations are remembered; never more than a fixed number.
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }
}
