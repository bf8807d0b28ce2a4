//! Which observation this node vouches for, when it is its turn to, and when it gives up on one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Now, Settings,
    candidates::{Candidate, Candidates},
    conduct::Conduct,
    effect::{Effect, Missing, Note, Outbox, SignRequest},
    own_price::OwnPrice,
    peers::Peers,
    settings::Timing,
    turns::{self, Places},
};
use crate::{
    address::Address,
    committee::{Committee, Members},
    cosign::Refusal,
    digest::Digest,
    link::Link,
    report::VerifiedReport,
    time::Instant,
};

/// How often the wait for an observation's signatures is doubled: from 0.4 s to 6.4 s.
const MOST_DOUBLINGS: usize = 4;

/// What is known when it is decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) committee: &'a Committee,
    /// Signatures that make a quorum.
    pub(super) required: usize,
    /// The place of the next record.
    pub(super) next: Link,
    pub(super) own_price: &'a OwnPrice,
    /// Whether a new price of this node is on its way for nodes that have just come.
    pub(super) is_price_coming: bool,
    pub(super) candidates: &'a Candidates,
    pub(super) peers: &'a Peers,
    pub(super) conduct: &'a Conduct,
    /// When this machine began.
    pub(super) started: Instant,
    /// When the window of the next record opens or opened, if that is known.
    pub(super) opens: Option<Instant>,
    pub(super) now: Now,
}

/// A refusal of an observation that was not refused for this reason before.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) digest: Digest,
    pub(super) observer: Address,
    pub(super) refusal: Refusal,
}

/// What this node did about the observations of the running round.
#[derive(Debug, Default)]
pub(super) struct Cosigning {
    attempts: BTreeMap<Digest, Attempt>,
    /// When the first observation of the round came.
    began: Option<Instant>,
    /// Whether the lack of a quorum in this round was noted.
    lack_noted: bool,
}

/// What it did about one of them.
#[derive(Debug, Default)]
struct Attempt {
    decision: Decision,
    /// When it became the one to sign, if it did, and how long it has from then on.
    chosen_at: Option<Instant>,
    patience: Duration,
    /// The co-signers' places for it.
    places: Places,
    /// The last reason for which it was refused.
    refused_for: Option<&'static str>,
    /// Others that said they refuse it, and why.
    refused_elsewhere: BTreeMap<Address, &'static str>,
    /// If its price is far off: who was found to have signed it all the same.
    outlier_signers: Option<BTreeSet<Address>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Decision {
    #[default]
    Open,
    /// The signer was asked.
    Asked,
    /// Refused; a newer price of its own, or news of who is alive, may change that.
    Refused { may_change: bool },
}

/// How it stands with the observation that was looked at.
enum Pursuit {
    /// The next-ranked gets its chance.
    Over,
    Refused(Refusal),
    /// Its signatures are waited for.
    Waiting,
    /// It is this node's turn to sign.
    Sign,
}

impl Cosigning {
    /// Looks for the best-ranked observation that this node can vouch for, and has it signed when it is its turn. If that is
    /// no certificate in time, the next has its chance. Returns what it refuses on the way.
    pub(super) fn advance(&mut self, view: &View<'_>, out: &mut Outbox) -> (Vec<Refused>, Option<Effect>) {
        self.attempts
            .retain(|digest, _| view.candidates.get(digest).is_some());
        let now = view.now.instant;
        let mut refused = self.screen(view, out);
        let mut contenders: Vec<_> = view.candidates.contenders(view.next, view.settings).collect();
        if contenders.is_empty() {
            return (refused, None);
        }
        let settled = *self.began.get_or_insert(now) + view.settings.timing.settle;
        if now < settled && !all_have_stated(view) {
            out.wake_at(settled);
            return (refused, None);
        }
        contenders.sort_unstable_by_key(|(digest, candidate)| (candidate.rank(), *digest));
        for (digest, candidate) in contenders {
            match self.pursue(digest, candidate, view, out) {
                Pursuit::Over => {}
                Pursuit::Refused(refusal) => {
                    refused.extend(self.refuse(digest, candidate.observer(), refusal));
                }
                Pursuit::Waiting => return (refused, None),
                Pursuit::Sign => {
                    let report = candidate.report().clone();
                    return (refused, Some(Effect::Sign(SignRequest::CoSign(report))));
                }
            }
        }
        (refused, self.lack_of_a_quorum(view).map(Effect::Note))
    }

    /// Refuses what this node would not sign, also if its turn never comes: an operator should see who is off.
    fn screen(&mut self, view: &View<'_>, out: &mut Outbox) -> Vec<Refused> {
        let (settings, now) = (view.settings, view.now);
        let own = view.own_price.believed(settings, now.instant);
        let mut refused = vec![];
        for (digest, candidate) in view.candidates.open(view.next) {
            if !self.is_undecided(digest, candidate, settings.me) {
                continue;
            }
            let settled = candidate.first_seen() + settings.timing.settle;
            if now.instant < settled {
                out.wake_at(settled);
                continue;
            }
            // What was good in its time and has grown old since, while a certificate waits for the database, is nobody's fault.
            if now.instant.since(candidate.first_seen()) > settings.policy.max_age / 2 {
                continue;
            }
            let observation = candidate.report().observation();
            let vouched = settings
                .policy
                .vouch(observation, own.clone(), now.instant, now.unix);
            if let Err(refusal) = vouched
                && !refusal.is_abstention()
            {
                refused.extend(self.refuse(digest, candidate.observer(), refusal));
            }
        }
        for (digest, candidate) in view.candidates.strays(view.next) {
            let (theirs, ours) = (candidate.link(), view.next);
            if theirs.sequence() == ours.sequence() {
                let (sequence, ours, theirs) = (ours.sequence(), ours.previous(), theirs.previous());
                let refusal = Refusal::OtherHistory {
                    sequence,
                    ours,
                    theirs,
                };
                refused.extend(self.refuse(digest, candidate.observer(), refusal));
            }
        }
        refused
    }

    fn pursue(
        &mut self,
        digest: Digest,
        candidate: &Candidate,
        view: &View<'_>,
        out: &mut Outbox,
    ) -> Pursuit {
        let (timing, me, now) = (&view.settings.timing, view.settings.me, view.now.instant);
        let is_undecided = self.is_undecided(digest, candidate, me);
        let patience = self.patience(timing);
        let attempt = self.attempts.entry(digest).or_default();
        let is_given_up = |at: Instant| now >= at + attempt.patience;
        let is_refused = matches!(attempt.decision, Decision::Refused { .. }) && !has_signed(candidate, me);
        if is_refused || attempt.chosen_at.is_some_and(is_given_up) {
            return Pursuit::Over;
        }
        if is_undecided && let Err(refusal) = vouch(candidate.report(), view) {
            return Pursuit::Refused(refusal);
        }
        let chosen_at = *attempt.chosen_at.get_or_insert_with(|| {
            attempt.patience = patience;
            now
        });
        out.wake_at(chosen_at + attempt.patience);
        if !is_undecided {
            return Pursuit::Waiting;
        }
        let turn = turn(digest, candidate, view, &mut attempt.places);
        let turn = chosen_at + turns::cosigners_wait(timing, turn);
        if now < turn && !is_last_missing(candidate, view) {
            out.wake_at(turn);
            return Pursuit::Waiting;
        }
        attempt.decision = Decision::Asked;
        Pursuit::Sign
    }

    /// How long the next observation's signatures are waited for: twice as long after each that came to nothing, so that nodes too slow
    /// for the usual wait sign a few and not all.
    fn patience(&self, timing: &Timing) -> Duration {
        let tried = self
            .attempts
            .values()
            .filter(|attempt| attempt.chosen_at.is_some());
        timing.give_up * (1 << tried.count().min(MOST_DOUBLINGS))
    }

    fn is_undecided(&self, digest: Digest, candidate: &Candidate, me: Address) -> bool {
        let attempt = self.attempts.get(&digest);
        attempt.is_none_or(|attempt| attempt.decision == Decision::Open) && !has_signed(candidate, me)
    }

    /// This node does not sign the observation. `None` if it was refused for the same reason before.
    pub(super) fn refuse(&mut self, digest: Digest, observer: Address, refusal: Refusal) -> Option<Refused> {
        let attempt = self.attempts.entry(digest).or_default();
        attempt.decision = Decision::Refused {
            may_change: refusal.may_change(),
        };
        if attempt.refused_for.replace(refusal.label()) == Some(refusal.label()) {
            return None;
        }
        if refusal.is_far_off() {
            attempt.outlier_signers.get_or_insert_default();
        }
        Some(Refused {
            digest,
            observer,
            refusal,
        })
    }

    /// Who has signed a price that is far off, besides its observer, and was not returned before.
    pub(super) fn new_outlier_signers(&mut self, candidate: &Candidate) -> Vec<Address> {
        let attempt = self.attempts.get_mut(&candidate.report().digest());
        let Some(known) = attempt.and_then(|attempt| attempt.outlier_signers.as_mut()) else {
            return vec![];
        };
        let signers = candidate.report().signatures().keys().copied();
        let others = signers.filter(|signer| *signer != candidate.observer());
        others.filter(|signer| known.insert(*signer)).collect()
    }

    /// What was refused for a reason that may have changed is looked at again.
    pub(super) fn reconsider(&mut self) {
        for attempt in self.attempts.values_mut() {
            if attempt.decision == (Decision::Refused { may_change: true }) {
                attempt.decision = Decision::Open;
            }
        }
    }

    /// A new observation came: after every earlier one had its chance, it begins a new round.
    pub(super) fn on_new_candidate(&mut self) {
        if self.lack_noted {
            self.end_round();
        }
    }

    /// There is a certificate.
    pub(super) fn end_round(&mut self) {
        self.began = None;
        self.lack_noted = false;
    }

    /// There is a new record.
    pub(super) fn clear(&mut self) {
        self.attempts.clear();
        self.end_round();
    }

    /// Says once a round what the observation with the most signatures lacks.
    fn lack_of_a_quorum(&mut self, view: &View<'_>) -> Option<Note> {
        if std::mem::replace(&mut self.lack_noted, true) {
            return None;
        }
        // These observations were made before the newcomers listened; new ones are on their way.
        if view.is_price_coming {
            return None;
        }
        let open = view
            .candidates
            .open(view.next)
            .map(|(_, candidate)| candidate.report());
        let closest = open.max_by_key(|report| report.signatures().len())?;
        let signers = closest.signatures();
        Some(Note::Waiting {
            signatures: signers.len(),
            required: view.required,
            live: view.peers.live(),
            validators_missing: view.committee.rule.validators_missing(signers.keys()),
            missing: self.missing(closest, view),
            is_early: view.now.instant < view.started + view.settings.write_interval
                || view.opens.is_some_and(|opens| view.now.instant < opens),
        })
    }

    /// Who has not signed this report, and what is known of why.
    fn missing(&self, report: &VerifiedReport, view: &View<'_>) -> Vec<(Address, Missing)> {
        let me = view.settings.me;
        let nodes: BTreeSet<Address> = match &view.committee.members {
            Members::Closed(members) => members.clone(),
            Members::Open => view.peers.others().copied().chain([me]).collect(),
        };
        let attempt = self.attempts.get(&report.digest());
        let refused = |node: &Address| match attempt {
            Some(attempt) if *node == me => attempt.refused_for,
            Some(attempt) => attempt.refused_elsewhere.get(node).copied(),
            None => None,
        };
        let timing = &view.settings.timing;
        let why = |node: &Address| {
            if let Some(reason) = refused(node) {
                return Missing::Refused(reason);
            }
            if *node == me {
                return Missing::Late;
            }
            if let Some(ahead_ms) = view.peers.clocks().fault_of(node) {
                return Missing::ClockOff(ahead_ms);
            }
            match view.peers.silence(node, view.now.instant) {
                None => Missing::Away,
                Some(silence) if silence > timing.lead + timing.early => Missing::Silent(silence),
                Some(_) => Missing::Late,
            }
        };
        let unsigned = nodes
            .into_iter()
            .filter(|node| !report.signatures().contains_key(node));
        unsigned.map(|node| (node, why(&node))).collect()
    }

    /// Another node said that it refuses an observation.
    pub(super) fn on_refused_elsewhere(&mut self, digest: &Digest, node: Address, reason: &'static str) {
        if let Some(attempt) = self.attempts.get_mut(digest) {
            attempt.refused_elsewhere.insert(node, reason);
        }
    }
}

/// Whether there is nobody left whose observation could still come: all live nodes have stated one, this node too.
fn all_have_stated(view: &View<'_>) -> bool {
    let mut nodes = view.peers.others().chain([&view.settings.me]);
    nodes.all(|node| view.candidates.has_stated(view.next, node))
}

/// Whether this node may put its name to what is reported, and to the company it would be in.
fn vouch(report: &VerifiedReport, view: &View<'_>) -> Result<(), Refusal> {
    let (settings, now, observation) = (view.settings, view.now, report.observation());
    if let Some(left) = view.conduct.quarantined(&observation.observer(), now.instant) {
        return Err(Refusal::Quarantined { left });
    }
    let own = view.own_price.believed(settings, now.instant);
    settings.policy.vouch(observation, own, now.instant, now.unix)?;
    if is_validator(view) {
        let is_alive = |signer: &Address| {
            *signer == settings.me
                || view
                    .peers
                    .spoke_lately(signer, now.instant, settings.timing.roster_ttl)
        };
        if let Some(signer) = report.signatures().keys().find(|signer| !is_alive(signer)) {
            return Err(Refusal::SignerNotAlive { signer: *signer });
        }
    }
    Ok(())
}

/// How many turns this node waits before it signs. Validators and others take turns among themselves.
fn turn(digest: Digest, candidate: &Candidate, view: &View<'_>, places: &mut Places) -> u32 {
    let (rule, me, observer) = (&view.committee.rule, view.settings.me, candidate.observer());
    let is_validator = is_validator(view);
    let is_rival = |node: &Address| *node != observer && rule.validators.contains(node) == is_validator;
    let able = view.candidates.able(view.next, view.own_price, view.settings);
    let able = able.into_iter().filter(is_rival).collect();
    let others = view.peers.others().filter(|node| is_rival(node));
    let before = places.turns_before(digest, me, &able, others);
    if is_validator {
        return turns::validators_turn(before);
    }
    let validators_missing = rule.validators_missing([observer].iter());
    turns::cosigners_turn(before, view.required.saturating_sub(1 + validators_missing))
}

/// A validator vouches for the other signers, so it signs when validators' signatures are all that is missing.
fn is_last_missing(candidate: &Candidate, view: &View<'_>) -> bool {
    let signers = candidate.report().signatures();
    let missing = view.committee.rule.validators_missing(signers.keys());
    is_validator(view) && missing > 0 && signers.len() + missing >= view.required
}

fn is_validator(view: &View<'_>) -> bool {
    view.committee.rule.validators.contains(&view.settings.me)
}

fn has_signed(candidate: &Candidate, me: Address) -> bool {
    candidate.report().signatures().contains_key(&me)
}
