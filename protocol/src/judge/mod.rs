//! What a node thinks of a message from the network: cheap checks first, signatures last, nothing kept without bound.
//!
//! The table of findings stands in docs/protocol.md; `protocol/tests/judging_table.rs` holds the two together.

mod finding;
mod memory;

use std::{collections::BTreeSet, time::Duration};

pub use finding::{Equivocation, Finding, Verdict};
use memory::Memory;

use crate::{
    address::Address,
    feed::Feed,
    heartbeat::Heartbeat,
    members::Members,
    message::Message,
    network::Network,
    quorum::QuorumRule,
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
    /// The signers that count.
    pub members: Members,
    /// When a certificate is one.
    pub quorum: QuorumRule,
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
        members: Members,
        quorum: QuorumRule,
        write_interval: Duration,
    ) -> Self {
        Self {
            network,
            feeds,
            members,
            quorum,
            max_age: write_interval,
            max_written_age: write_interval * 3,
            future_tolerance: Self::FUTURE_TOLERANCE,
        }
    }
}

/// A message that passed: the only way for anything from the network into the aggregation.
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
}

/// Judges messages, remembering what it saw so that nothing is verified twice.
#[derive(Debug)]
pub struct Judge {
    config: JudgeConfig,
    memory: Memory,
}

impl Judge {
    /// A judge that has seen nothing yet.
    pub fn new(config: JudgeConfig) -> Self {
        Self {
            config,
            memory: Memory::default(),
        }
    }

    /// Judges the bytes of one message that was received at `seen_at`.
    pub fn judge(&mut self, bytes: &[u8], seen_at: UnixMillis) -> Result<Verified, Finding> {
        self.memory.forget_before(seen_at, self.config.max_written_age);
        match Message::decode(bytes, &self.config.network).map_err(Finding::Malformed)? {
            Message::Report(report) => self.judge_report(report, seen_at).map(Verified::Report),
            Message::Written(written) => self.judge_written(written, seen_at),
            Message::Heartbeat(heartbeat) => self.judge_heartbeat(heartbeat, seen_at),
        }
    }

    /// Remembers a message of our own, so that its echo is known.
    pub fn remember_own(&mut self, message: &Message) {
        match message {
            Message::Report(report) => self.remember(report, false),
            Message::Written(written) => self.remember(&written.report, true),
            Message::Heartbeat(_) => {}
        }
    }

    fn remember(&mut self, report: &Report, settled: bool) {
        let digest = report.observation().digest(&self.config.network);
        self.memory.record(
            digest,
            report.observation(),
            report.attestations().iter().copied(),
            settled,
        );
    }

    fn judge_report(&mut self, report: Report, seen_at: UnixMillis) -> Result<VerifiedReport, Finding> {
        self.check_feed_and_time(&report, seen_at, self.config.max_age)?;
        let digest = report.observation().digest(&self.config.network);
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
        self.check_members(&report)?;
        if self.memory.is_crowded(&digest, report.observation()) {
            return Err(Finding::Overload);
        }
        let verified = self.verify(report)?;
        if let Some(first) = self.memory.conflict(&digest, verified.observation()) {
            let observer = verified.observation().observer();
            let evidence = Equivocation {
                observer,
                first,
                second: digest,
            };
            self.memory.keep_evidence(evidence.clone());
            return Err(Finding::Equivocation(evidence));
        }
        self.remember_verified(&verified, false);
        Ok(verified)
    }

    fn judge_written(&mut self, written: Written, seen_at: UnixMillis) -> Result<Verified, Finding> {
        self.check_feed_and_time(&written.report, seen_at, self.config.max_written_age)?;
        let digest = written.report.observation().digest(&self.config.network);
        if self.memory.is_settled(&digest) {
            return Err(Finding::Settled);
        }
        if !self.config.members.admit(&written.writer) {
            return Err(Finding::UnknownSigner(written.writer));
        }
        self.check_members(&written.report)?;
        if !written.is_authentic(&self.config.network, digest) {
            return Err(Finding::BadSignature(format!(
                "the writer {} did not sign this",
                written.writer
            )));
        }
        let (writer, written_at) = (written.writer, written.written_at);
        let verified = self.verify(written.report)?;
        // In an open network the number of members is a matter of opinion, so only the fixed part of the rule counts.
        let members = self.config.members.count().unwrap_or(0);
        let Some(certificate) = verified.certify(&self.config.quorum, members) else {
            let signatures = verified.signatures().len();
            return Err(Finding::NotQuorate {
                signatures,
                required: self.config.quorum.required(members),
            });
        };
        self.remember_verified(&verified, true);
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
        if !self.config.members.admit(&heartbeat.node) {
            return Err(Finding::UnknownSigner(heartbeat.node));
        }
        if !heartbeat.is_authentic(&self.config.network) {
            return Err(Finding::BadSignature(format!(
                "the node {} did not sign this heartbeat",
                heartbeat.node
            )));
        }
        if !self.memory.record_heartbeat(heartbeat.node, heartbeat.sent_at) {
            return Err(Finding::Overload);
        }
        Ok(Verified::Heartbeat(heartbeat))
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
    fn check_members(&self, report: &Report) -> Result<(), Finding> {
        match report
            .attestations()
            .iter()
            .find(|a| !self.config.members.admit(&a.signer))
        {
            Some(stranger) => Err(Finding::UnknownSigner(stranger.signer)),
            None => Ok(()),
        }
    }

    fn verify(&self, report: Report) -> Result<VerifiedReport, Finding> {
        report
            .verify(&self.config.network, |digest, attestation| {
                self.memory.is_known(digest, attestation)
            })
            .map_err(|error| Finding::BadSignature(error.to_string()))
    }

    fn remember_verified(&mut self, verified: &VerifiedReport, settled: bool) {
        let report = verified.to_report();
        self.memory.record(
            verified.digest(),
            report.observation(),
            report.attestations().iter().copied(),
            settled,
        );
    }

    /// How many observations are remembered; never more than a fixed number.
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }

    /// Proofs of double statements that were seen, the latest few.
    pub fn equivocations(&self) -> impl Iterator<Item = &Equivocation> {
        self.memory.evidence()
    }
}
