//! DbWriter: the only actor that writes to Postgres. It carries questions and certificates there and answers back.

use std::{collections::BTreeSet, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, Supervised, WrapFuture};
use quorate_protocol::{
    Address, Certificate, Committee, Digest, Feed, LastRecord, Members, Network, ProvenEquivocation,
    WriteOutcome, rounds::StoreRequest,
};
use quorate_store::{Member, Settings, Store, StoreError};
use quorate_supervisor::{Mailbox, SupervisedActor};
use tokio::sync::watch;

use super::DbWriterMessage;
use crate::aggregator::AggregatorMessage;

/// What the node was told, to be held against the database's settings.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The length of the write window.
    pub write_interval: Duration,
    /// The least number of signatures.
    pub min_signatures: usize,
}

/// Writes certificates, one transaction each.
pub struct DbWriter {
    store: Store,
    me: Address,
    network: Network,
    terms: Terms,
    committee: Committee,
    to: Neighbours,
    /// Whether the database's settings were seen to fit this node's.
    fits: bool,
    /// Questions and writes on their way; what a drain waits for.
    on_their_way: watch::Sender<Vec<OnItsWay>>,
}

/// To whom the DbWriter speaks.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Gets the answers.
    pub aggregator: Mailbox<AggregatorMessage>,
    /// Whoever ends the process when the database's settings are not the node's.
    pub misfit: watch::Sender<Option<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum OnItsWay {
    Write(Feed, Digest),
    Question(Feed),
}

/// Why nothing was asked of a database.
enum Unfit {
    /// It does not answer, or is not set up yet.
    NotYet(String),
    /// Its settings are not this node's, and waiting does not help.
    Never(String),
}

impl DbWriter {
    /// A writer in the name of `me`.
    pub fn new(
        store: Store,
        me: Address,
        network: Network,
        terms: Terms,
        committee: Committee,
        to: Neighbours,
    ) -> Self {
        let (on_their_way, _) = watch::channel(Vec::new());
        Self {
            store,
            me,
            network,
            terms,
            committee,
            to,
            fits: false,
            on_their_way,
        }
    }

    fn depart(&self, what: OnItsWay) {
        self.on_their_way.send_modify(|all| all.push(what));
    }

    fn arrive(&self, what: &OnItsWay) {
        self.on_their_way
            .send_modify(|all| all.retain(|other| other != what));
    }

    /// Holds the node's terms against the database's settings, once.
    fn check(&self) -> impl Future<Output = Result<(), Unfit>> + 'static {
        let (store, terms, fits) = (self.store.clone(), self.terms, self.fits);
        let committee = self.committee.clone();
        async move {
            if fits {
                return Ok(());
            }
            let settings = store.settings().await.map_err(|error| match error {
                StoreError::SchemaNewer { .. } => Unfit::Never(error.to_string()),
                other => Unfit::NotYet(told(other)),
            })?;
            settings
                .check(terms.write_interval, terms.min_signatures)
                .map_err(|mismatch| Unfit::Never(mismatch.to_string()))?;
            let listed = store
                .members()
                .await
                .map_err(|error| Unfit::NotYet(told(error)))?;
            // A minimum of validators binds only where there are some.
            let there = listed.iter().any(|member| member.validator);
            let rule = &committee.rule;
            let database = Settings {
                min_validators: if there { settings.min_validators } else { 0 },
                ..settings
            };
            let node = Settings {
                write_interval: terms.write_interval,
                min_signatures: terms.min_signatures,
                min_validators: if rule.validators.is_empty() {
                    0
                } else {
                    rule.min_validators
                },
            };
            for difference in database.differences(&node) {
                log::warn!("the database's rules are not this node's: {difference}");
            }
            if let Some(difference) = difference(&listed, &committee) {
                log::warn!(
                    "the database lists other members than this node: {difference} \
                     remedy=\"quorate migrate --members with the nodes' file\""
                );
            }
            Ok(())
        }
    }

    /// Takes note of a check; what to answer if it failed.
    fn judge(&mut self, checked: Result<(), Unfit>) -> Result<(), String> {
        match checked {
            Ok(()) => {
                self.fits = true;
                Ok(())
            }
            Err(Unfit::NotYet(reason)) => Err(reason),
            Err(Unfit::Never(reason)) => {
                self.to.misfit.send_replace(Some(reason.clone()));
                Err(reason)
            }
        }
    }

    fn answer_write(&self, feed: Feed, digest: Digest, outcome: WriteOutcome) {
        self.arrive(&OnItsWay::Write(feed.clone(), digest));
        let message = AggregatorMessage::Wrote {
            feed,
            digest,
            outcome,
        };
        self.to.aggregator.send_or_log("write outcome", message);
    }

    fn answer_question(&self, feed: Feed, answer: Result<Option<LastRecord>, String>) {
        self.arrive(&OnItsWay::Question(feed.clone()));
        let message = AggregatorMessage::LastRecordIs { feed, answer };
        self.to.aggregator.send_or_log("last record", message);
    }
}

impl Actor for DbWriter {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        // What a crash left unanswered: nobody knows what came of it, and asking again is safe, for digests are unique.
        let lost = self.on_their_way.send_replace(Vec::new());
        let reason = "the writer was restarted".to_owned();
        for what in lost {
            match what {
                OnItsWay::Write(feed, digest) => {
                    self.answer_write(
                        feed,
                        digest,
                        WriteOutcome::Unavailable {
                            reason: reason.clone(),
                        },
                    );
                }
                OnItsWay::Question(feed) => self.answer_question(feed, Err(reason.clone())),
            }
        }
    }
}

impl Supervised for DbWriter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The owner may have changed the settings since.
        self.fits = false;
    }
}

impl SupervisedActor for DbWriter {
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseFuture<()> {
        let mut on_their_way = self.on_their_way.subscribe();
        Box::pin(async move {
            // Ends at once when nothing is on its way; the statement timeout bounds what is. An error means that the
            // actor is gone.
            let _empty = on_their_way.wait_for(Vec::is_empty).await;
        })
    }
}

impl Handler<DbWriterMessage> for DbWriter {
    type Result = ();

    fn handle(&mut self, message: DbWriterMessage, ctx: &mut Context<Self>) {
        match message {
            DbWriterMessage::Request(StoreRequest::Write(certificate)) => self.write(certificate, ctx),
            DbWriterMessage::Request(StoreRequest::LastRecord(feed)) => self.ask_last_record(feed, ctx),
            DbWriterMessage::Request(StoreRequest::KeepEquivocation(proof)) => self.keep(*proof, ctx),
            DbWriterMessage::Request(StoreRequest::KeepLost(certificate)) => self.keep_lost(certificate, ctx),
            DbWriterMessage::CommitteeIs(committee) => {
                self.committee = committee;
                // To be compared with the database's list anew.
                self.fits = false;
            }
        }
    }
}

impl DbWriter {
    fn write(&mut self, certificate: Certificate, ctx: &mut Context<Self>) {
        let (feed, digest) = (
            certificate.report().observation().feed().clone(),
            certificate.digest(),
        );
        self.depart(OnItsWay::Write(feed.clone(), digest));
        let (store, me, network, checked) = (self.store.clone(), self.me, self.network.clone(), self.check());
        let validators = self.committee.rule.validators.clone();
        let written = async move {
            let checked = checked.await;
            let outcome = match checked {
                Ok(()) => Some(store.write(&certificate, me, &network, &validators).await),
                Err(_) => None,
            };
            (checked, outcome)
        };
        ctx.spawn(written.into_actor(self).map(move |(checked, outcome), actor, _| {
            let outcome = match (actor.judge(checked), outcome) {
                (Ok(()), Some(outcome)) => outcome,
                (Err(reason), _) => WriteOutcome::Unavailable { reason },
                (Ok(()), None) => WriteOutcome::Unavailable {
                    reason: "nothing was written".to_owned(),
                },
            };
            actor.answer_write(feed, digest, outcome);
        }));
    }

    fn ask_last_record(&mut self, feed: Feed, ctx: &mut Context<Self>) {
        self.depart(OnItsWay::Question(feed.clone()));
        let (store, asked, checked) = (self.store.clone(), feed.clone(), self.check());
        let answered = async move {
            let checked = checked.await;
            let answer = match checked {
                Ok(()) => store.last_record(&asked).await.map_err(told),
                Err(_) => Ok(None),
            };
            (checked, answer)
        };
        ctx.spawn(answered.into_actor(self).map(move |(checked, answer), actor, _| {
            let answer = actor.judge(checked).and(answer);
            actor.answer_question(feed, answer);
        }));
    }

    fn keep(&self, proof: ProvenEquivocation, ctx: &mut Context<Self>) {
        let (store, network, me) = (self.store.clone(), self.network.clone(), self.me);
        let observer = proof.observer();
        let kept = async move { store.keep_equivocation(&proof, &network, me).await };
        ctx.spawn(kept.into_actor(self).map(move |kept, _, _| match kept {
            Ok(true) => log::info!("proof of equivocation kept: observer={observer}"),
            // Every node that saw it brings it.
            Ok(false) => log::debug!("proof of equivocation known: observer={observer}"),
            Err(error) => {
                log::warn!("proof of equivocation not kept: observer={observer} reason=\"{error}\"")
            }
        }));
    }

    fn keep_lost(&self, certificate: Certificate, ctx: &mut Context<Self>) {
        let (store, network, me) = (self.store.clone(), self.network.clone(), self.me);
        let validators = self.committee.rule.validators.clone();
        let record = certificate.digest();
        let kept = async move { store.keep_lost(&certificate, &network, me, &validators).await };
        ctx.spawn(kept.into_actor(self).map(move |kept, _, _| match kept {
            Ok(true) => log::info!("lost record kept: record={record}"),
            // Every node that had it brings it.
            Ok(false) => log::debug!("lost record known: record={record}"),
            Err(error) => log::warn!("lost record not kept: record={record} reason=\"{error}\""),
        }));
    }
}

/// Why the database has not answered. That it has not is said around it, so that the reason is not cut from a line.
fn told(error: StoreError) -> String {
    match error {
        StoreError::Unavailable { reason } => reason,
        other => other.to_string(),
    }
}

/// Who is listed on one side only; nothing if one side lists nobody.
fn difference(listed: &[Member], committee: &Committee) -> Option<String> {
    let Members::Closed(ours) = &committee.members else {
        return None;
    };
    let theirs: BTreeSet<Address> = listed.iter().map(|member| member.address).collect();
    let show = |some: Vec<String>| some.join(",");
    let only_ours = show(ours.difference(&theirs).map(ToString::to_string).collect());
    let only_theirs = show(theirs.difference(ours).map(ToString::to_string).collect());
    let is_other = !theirs.is_empty() && theirs != *ours;
    is_other.then(|| format!("only_here={only_ours} only_there={only_theirs}"))
}
