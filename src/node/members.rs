//! The members file while the node runs: a change is told to those whom it concerns.

use std::path::Path;

use quorate_actors::{
    aggregator::AggregatorMessage, db_writer::DbWriterMessage, gossip_bridge::BridgeMessage,
};
use quorate_protocol::{Address, Committee, Members, QuorumRule};
use quorate_supervisor::Mailbox;
use tokio::sync::watch;

use crate::{
    config::members::{self, MemberList, Misfit, Names},
    logging,
    watch::{Watched, watch},
};

/// Whom a change of the members concerns.
pub(super) struct Concerned {
    pub(super) me: Address,
    pub(super) gossip_bridge: Mailbox<BridgeMessage>,
    pub(super) aggregator: Mailbox<AggregatorMessage>,
    pub(super) db_writer: Mailbox<DbWriterMessage>,
    /// The API.
    pub(super) names: watch::Sender<Names>,
}

/// Watches the file for as long as the node runs. A list by which nothing could be quorate is not taken over.
pub(super) fn follow(path: &Path, current: MemberList, rule: QuorumRule, concerned: Concerned) {
    let mut before = current.committee(&rule);
    let file = Watched {
        what: "members",
        path: path.to_owned(),
        current,
    };
    let terms = rule.clone();
    let load = move |path: &Path| {
        let in_words = |misfits: Vec<Misfit>| {
            misfits
                .iter()
                .map(Misfit::in_words)
                .collect::<Vec<_>>()
                .join("; ")
        };
        let list = members::load(path).map_err(in_words)?;
        members::check(&list.committee(&terms))?;
        Ok(list)
    };
    watch(file, load, move |list| {
        let committee = list.committee(&rule);
        let endpoints = list.endpoints(concerned.me);
        let (bridge, aggregator, db_writer) = (
            &concerned.gossip_bridge,
            &concerned.aggregator,
            &concerned.db_writer,
        );
        let is_told = bridge
            .try_send(BridgeMessage::CommitteeIs(committee.clone()))
            .is_ok()
            && bridge.try_send(BridgeMessage::EndpointsAre(endpoints)).is_ok()
            && aggregator
                .try_send(AggregatorMessage::CommitteeIs(committee.clone()))
                .is_ok()
            && db_writer
                .try_send(DbWriterMessage::CommitteeIs(committee.clone()))
                .is_ok();
        // Told again at the next look if a mailbox is full.
        if !is_told {
            return false;
        }
        let names = list.names();
        logging::call_members(&names);
        concerned.names.send_replace(names);
        log_change(&before, &committee, concerned.me);
        before = committee;
        true
    });
}

fn log_change(before: &Committee, now: &Committee, me: Address) {
    let only_in = |one: &Committee, other: &Committee| match &one.members {
        Members::Open => String::new(),
        Members::Closed(members) => {
            let gone = members.iter().filter(|member| !other.members.admit(member));
            gone.map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
    };
    log::info!(
        "members changed: members={} required={} validators={} added={} removed={}",
        now.members.count().unwrap_or(0),
        now.required(0),
        now.rule.validators.len(),
        only_in(now, before),
        only_in(before, now)
    );
    if !now.members.admit(&me) {
        log::warn!("this node is no member any more: address={me} remedy=\"list it again, or stop it\"");
    }
}
