//! Rules 1 and 2: which observation to vouch for, and when it is this node's turn to.

use super::{Candidate, Effect, Note, Now, Rounds, candidate::Mine, rank};
use crate::{address::Address, cosign::Refusal, digest::Digest, report::VerifiedReport, time::Instant};

impl Rounds {
    /// Courts the best-ranked observation that this node can vouch for.
    pub(super) fn court(&mut self, now: Now) {
        if let Some(active_from) = self.active_from() {
            if now.instant < active_from {
                return self.wake_at(active_from);
            }
            self.candidates
                .retain(|_, candidate| candidate.first_seen >= active_from);
        }
        self.forget_lapsed(now);
        self.screen(now);
        let eligible = self.eligible();
        if eligible.is_empty() {
            return;
        }
        let settled = *self.round_began.get_or_insert(now.instant) + self.settings.timing.settle;
        if now.instant < settled {
            return self.wake_at(settled);
        }
        for digest in eligible {
            if self.court_one(digest, now) {
                return;
            }
        }
        self.lament(now);
    }

    /// Drops what nobody would sign any more; a certificate stays until it is written or superseded.
    fn forget_lapsed(&mut self, now: Now) {
        let lapsed = self.settings.policy.max_age * 2;
        self.candidates
            .retain(|_, c| c.certified.is_some() || now.instant.since(c.first_seen) <= lapsed);
    }

    /// The observations that may still become the next record, best-ranked first.
    ///
    /// While a certificate waits for the database, only clearly newer ones are worth signatures.
    fn eligible(&self) -> Vec<Digest> {
        let half_a_fetch = u64::try_from(self.settings.fetch_interval.as_millis() / 2).unwrap_or(u64::MAX);
        let not_before = self.best_certificate().map_or(0, |certified| {
            certified.observed_at().get().saturating_add(half_a_fetch)
        });
        let mut ranked: Vec<(Digest, Digest)> = self
            .candidates
            .iter()
            .filter(|(_, candidate)| {
                candidate.certified.is_none() && candidate.observed_at().get() >= not_before
            })
            .map(|(digest, candidate)| {
                (
                    rank::of_observation(self.window.anchor, candidate.report.observation().observer()),
                    *digest,
                )
            })
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, digest)| digest).collect()
    }

    /// Declines what this node would not vouch for, also if its turn never comes: an operator should see who is off.
    fn screen(&mut self, now: Now) {
        let settle = self.settings.timing.settle;
        let is_open = |c: &&Candidate| c.certified.is_none() && c.mine == Mine::Undecided;
        let due_at = self
            .candidates
            .values()
            .filter(is_open)
            .map(|c| c.first_seen + settle);
        if let Some(next) = due_at.filter(|at| *at > now.instant).min() {
            self.wake_at(next);
        }
        let due = self
            .candidates
            .iter()
            .filter(|(_, candidate)| is_open(candidate) && now.instant >= candidate.first_seen + settle);
        let declined: Vec<(Digest, Address, Refusal)> = due
            .filter_map(|(digest, candidate)| {
                let (observation, own) = (candidate.report.observation(), self.own_price.as_ref());
                let vouched = self
                    .settings
                    .policy
                    .vouch(observation, own, now.instant, now.unix);
                let refusal = vouched.err().filter(|refusal| !refusal.is_abstention())?;
                Some((*digest, observation.observer(), refusal))
            })
            .collect();
        for (digest, observer, refusal) in declined {
            self.decline(digest, observer, refusal, now);
        }
    }

    /// Courts this observation, unless its time is over or it cannot be vouched for. Whether it is courted.
    fn court_one(&mut self, digest: Digest, now: Now) -> bool {
        let timing = self.settings.timing;
        let Some(candidate) = self.candidates.get(&digest) else {
            return false;
        };
        let gives_up = |courted: Instant| courted + timing.give_up;
        if candidate
            .courted
            .is_some_and(|courted| now.instant >= gives_up(courted))
        {
            return false;
        }
        let undecided = match candidate.mine {
            Mine::Declined { .. } => return false,
            Mine::Undecided => true,
            Mine::Asked | Mine::Signed => false,
        };
        if undecided {
            let observer = candidate.report.observation().observer();
            if let Err(refusal) = self.vouch(&candidate.report, now) {
                self.decline(digest, observer, refusal, now);
                return false;
            }
        }
        let courted = self
            .candidates
            .get_mut(&digest)
            .map(|c| *c.courted.get_or_insert(now.instant));
        let courted = courted.unwrap_or(now.instant);
        self.wake_at(gives_up(courted));
        if undecided {
            let turn = courted + timing.turn * self.turns_before(digest);
            if now.instant < turn && !self.is_validators_turn(digest) {
                self.wake_at(turn);
            } else {
                self.ask_signer(digest);
            }
        }
        true
    }

    /// Whether this node may put its name to what is reported, and to the company it would be in.
    fn vouch(&self, report: &VerifiedReport, now: Now) -> Result<(), Refusal> {
        let observation = report.observation();
        if let Some(left) = self.quarantined.left(&observation.observer(), now.instant) {
            return Err(Refusal::Quarantined { left });
        }
        self.settings
            .policy
            .vouch(observation, self.own_price.as_ref(), now.instant, now.unix)?;
        if self.is_validator() {
            let ttl = self.settings.timing.roster_ttl;
            let is_alive = |signer: &&Address| {
                **signer == self.settings.me || self.roster.has_heard(signer, now.instant, ttl)
            };
            if let Some(signer) = report.signatures().keys().find(|signer| !is_alive(signer)) {
                return Err(Refusal::SignerNotAlive { signer: *signer });
            }
        }
        Ok(())
    }

    fn is_validator(&self) -> bool {
        self.committees
            .current()
            .rule
            .validators
            .contains(&self.settings.me)
    }

    /// A validator vouches for the other signers, so it signs when its name is all that is missing.
    fn is_validators_turn(&self, digest: Digest) -> bool {
        let rule = &self.committees.current().rule;
        self.is_validator()
            && self.candidates.get(&digest).is_some_and(|candidate| {
                let signers = candidate.report.signatures();
                let missing = rule.validators_missing(signers.keys());
                missing > 0 && signers.len() + missing >= self.required()
            })
    }

    fn ask_signer(&mut self, digest: Digest) {
        if let Some(candidate) = self.candidates.get(&digest) {
            let observation = candidate.report.observation().clone();
            self.effects.push(Effect::CoSign { observation, digest });
            self.set_mine(digest, Mine::Asked);
        }
    }

    fn set_mine(&mut self, digest: Digest, mine: Mine) {
        if let Some(candidate) = self.candidates.get_mut(&digest) {
            candidate.mine = mine;
        }
    }

    /// How many turns to wait before signing: none for as many as are needed, then one for each further group of a quarter
    /// of that. Validators come last, so that they see whom they vouch for; one turn each, in case the others do not come.
    fn turns_before(&self, digest: Digest) -> u32 {
        let rule = &self.committees.current().rule;
        let me = self.settings.me;
        let observer = self
            .candidates
            .get(&digest)
            .map(|c| c.report.observation().observer());
        let is_mine = self.is_validator();
        let rivals = self
            .roster
            .others()
            .filter(|node| Some(**node) != observer && rule.validators.contains(*node) == is_mine);
        let before = rank::turn_of(digest, me, rivals);
        if is_mine {
            return 1 + before;
        }
        let validators_missing = rule.validators_missing(observer.iter());
        let others = self.required().saturating_sub(1 + validators_missing);
        let at_once = u32::try_from(others).unwrap_or(u32::MAX).max(1);
        match before.checked_sub(at_once) {
            None => 0,
            Some(late) => 1 + late / (at_once / 4).max(1),
        }
    }

    /// Tells once a round why there is no quorum.
    fn lament(&mut self, now: Now) {
        if self.round_lamented {
            return;
        }
        self.round_lamented = true;
        // These observations were made before the newcomers listened; new ones are on their way.
        if self.awaiting_anew.is_some_and(|until| now.instant < until) {
            return;
        }
        let best = self
            .candidates
            .values()
            .filter(|c| c.certified.is_none())
            .max_by_key(|c| c.report.signatures().len());
        if let Some(best) = best {
            let signers = best.report.signatures();
            let note = Note::Waiting {
                signatures: signers.len(),
                required: self.required(),
                live: self.roster.len(),
                validators_missing: self.committees.current().rule.validators_missing(signers.keys()),
            };
            self.note(note);
        }
    }
}
