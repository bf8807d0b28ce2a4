//! `/metrics` in the Prometheus text format. Labels come from fixed sets, from the configuration, and from signatures that were
//! verified, within bounds.

use std::fmt::Write;

use actix_web::{HttpResponse, get, web};
use quorate_actors::{aggregator::FeedStatus, gossip_bridge::CountsSnapshot, supervisor::ActorStatus};
use quorate_protocol::UnixMillis;

use super::{Views, ready::statuses};

#[get("/metrics")]
pub(super) async fn metrics(views: web::Data<Views>) -> HttpResponse {
    let feeds = statuses(&views).await.unwrap_or_default();
    let body = render(
        &views.counts.snapshot(),
        &views.supervisor.statuses(),
        &feeds,
        views.supervisor.is_live(),
    );
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(body)
}

fn render(counts: &CountsSnapshot, actors: &[ActorStatus], feeds: &[FeedStatus], live: bool) -> String {
    let mut page = Page::default();
    let findings = counts
        .findings
        .iter()
        .map(|(finding, count)| (format!("finding=\"{finding}\""), *count));
    page.family(
        "messages_total",
        "counter",
        "Gossip messages by what was found in them",
        findings,
    );
    page.single(
        "published_total",
        "counter",
        "Messages of this node that went out",
        counts.published,
    );
    page.single(
        "published_bytes_total",
        "counter",
        "Bytes of these messages, once each",
        counts.published_bytes,
    );
    page.single(
        "publish_failures_total",
        "counter",
        "Messages that went to nobody",
        counts.publish_failures,
    );
    page.single(
        "received_bytes_total",
        "counter",
        "Bytes of the messages that were judged",
        counts.received_bytes,
    );
    page.single(
        "bans_total",
        "counter",
        "Peers banned for breaking the protocol",
        counts.bans,
    );
    let turned_away = counts
        .turned_away
        .iter()
        .map(|(reason, count)| (format!("reason=\"{reason}\""), *count));
    page.family(
        "turned_away_total",
        "counter",
        "Connections refused at the gate, by the reason",
        turned_away,
    );
    page.single(
        "message_copies_total",
        "counter",
        "Copies of messages that came in, known ones included",
        counts.copies,
    );
    page.single(
        "peers",
        "gauge",
        "Peers that are connected and listen",
        counts.peers,
    );
    page.single(
        "live",
        "gauge",
        "Whether the process can still help itself",
        u64::from(live),
    );
    let of_actor = |value: fn(&ActorStatus) -> u64| {
        actors
            .iter()
            .map(move |actor| (format!("actor=\"{}\"", actor.name), value(actor)))
    };
    page.family(
        "actor_restarts_total",
        "counter",
        "Restarts by the supervisor",
        of_actor(|actor| actor.restarts),
    );
    page.family(
        "actor_messages_total",
        "counter",
        "Messages that actors received",
        of_actor(|actor| actor.messages),
    );
    page.family(
        "actor_blocked",
        "gauge",
        "Whether the thread stands still",
        of_actor(|actor| actor.blocked.into()),
    );
    let of_feed = |value: fn(&FeedStatus) -> u64| {
        feeds
            .iter()
            .map(move |feed| (format!("feed=\"{}\"", feed.feed), value(feed)))
    };
    page.family(
        "records_total",
        "counter",
        "Records seen written, by whomever",
        of_feed(|feed| feed.records),
    );
    page.family(
        "cosigned_total",
        "counter",
        "Reports of others vouched for",
        of_feed(|feed| feed.cosigned),
    );
    page.family(
        "refused_total",
        "counter",
        "Reports of others not vouched for",
        of_feed(|feed| feed.refused),
    );
    let reasons = feeds.iter().flat_map(|feed| {
        let of_observer = feed.refusals.iter().flat_map(|(observer, reasons)| {
            reasons
                .iter()
                .map(move |(reason, count)| (observer, reason, count))
        });
        of_observer.map(move |(observer, reason, count)| {
            let feed = &feed.feed;
            (
                format!("feed=\"{feed}\",observer=\"{observer}\",reason=\"{reason}\""),
                *count,
            )
        })
    });
    page.family(
        "refusals_total",
        "counter",
        "Reports not vouched for, by whose they are and why",
        reasons,
    );
    page.family(
        "superseded_total",
        "counter",
        "Certificates replaced unwritten",
        of_feed(|feed| feed.superseded),
    );
    page.family(
        "live_nodes",
        "gauge",
        "Nodes known to be alive",
        of_feed(|feed| feed.live as u64),
    );
    page.family(
        "required_signatures",
        "gauge",
        "Signatures of a quorum",
        of_feed(|feed| feed.required as u64),
    );
    page.family("database_up", "gauge", "Whether the database answers", {
        of_feed(|feed| u64::from(feed.database_lost_at.is_none()))
    });
    page.family(
        "last_record_timestamp_ms",
        "gauge",
        "When a record was last seen written",
        of_feed(|feed| feed.last_record_at.map_or(0, UnixMillis::get)),
    );
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help, std::iter::once((String::new(), value)));
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, samples: impl Iterator<Item = (String, u64)>) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.text,
            "# HELP quorate_{name} {help}\n# TYPE quorate_{name} {kind}"
        );
        for (labels, value) in samples {
            let _ = match labels.as_str() {
                "" => writeln!(self.text, "quorate_{name} {value}"),
                labels => writeln!(self.text, "quorate_{name}{{{labels}}} {value}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_actors::gossip_bridge::Counts;

    use super::*;

    #[test]
    fn every_sample_has_a_type_and_a_help_before_it() {
        let page = render(&Counts::default().snapshot(), &[], &[], true);
        assert!(page.contains(
            "# TYPE quorate_messages_total counter\nquorate_messages_total{finding=\"accepted\"} 0\n"
        ));
        assert!(page.contains("\nquorate_live 1\n"));
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(
                page.contains(&format!("# HELP {name} ")) && page.contains(&format!("# TYPE {name} ")),
                "{line}"
            );
        }
    }
}
