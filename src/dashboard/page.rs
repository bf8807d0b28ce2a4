//! What stands on the page: facts in, words and numbers out. Pure, so that every state can be shown in a test.

use std::time::Duration;

use askama::Template;
use quorate_actors::{gossip_bridge::ConnectedPeer, price_fetcher::SourceStatus};
use quorate_protocol::{
    Address, Feed, Instant, RoundTrace, UnixMillis, readiness::Readiness, rounds::FeedStatus,
};
use quorate_supervisor::ActorStatus;

use super::{
    figures::{clock, duration, short_time},
    members::{Member, PRESENCE, TICK},
    node::{Figure, ShownActor, ShownCondition, ShownSource, actor},
    records::{LISTED, Last, Listed, Point, Window, point},
    rounds::{ROUNDS, ShownRound},
    scorecard::{Scorecard, Scores},
};
use crate::{config::members::Names, http::Recent, show::rfc3339};

/// All that the page is made of, at one moment.
pub(super) struct Facts<'a> {
    /// On both clocks.
    pub(super) now: (Instant, UnixMillis),
    pub(super) me: Address,
    pub(super) network: &'a str,
    pub(super) names: &'a Names,
    /// The one that is shown.
    pub(super) feed: &'a Feed,
    /// All that there are.
    pub(super) feeds: &'a [Feed],
    pub(super) write_interval: Duration,
    /// From this age on a price is stale.
    pub(super) stale_after: Duration,
    /// `None`: the Aggregator does not answer.
    pub(super) status: Option<&'a FeedStatus>,
    pub(super) warnings: Vec<String>,
    pub(super) readiness: &'a Readiness,
    pub(super) actors: &'a [ActorStatus],
    pub(super) sources: &'a [SourceStatus],
    /// The newest first.
    pub(super) rounds: &'a [RoundTrace],
    pub(super) scores: Scores<'a>,
    pub(super) recent: &'a Recent,
    /// Who is connected; `None`: the GossipBridge does not answer.
    pub(super) connected: Option<&'a [ConnectedPeer]>,
    pub(super) peers: i64,
    pub(super) mesh_peers: i64,
    /// What the reader chose.
    pub(super) theme: Option<&'a str>,
    pub(super) version_of_assets: &'a str,
}

/// `page.html` with what stands in it.
#[derive(Template)]
#[template(path = "page.html", config = "src/dashboard/askama.toml")]
pub(super) struct Page {
    title: String,
    theme: Option<&'static str>,
    version_of_assets: String,
    version: &'static str,
    now: u64,
    now_rfc3339: String,
    now_clock: String,
    network: String,
    name: String,
    address: String,
    feed: String,
    /// Where records are told as they come, if this node does.
    stream: Option<String>,
    feeds: Vec<FeedLink>,
    notice_class: &'static str,
    notice_title: &'static str,
    warnings: Vec<String>,
    last: Option<Last>,
    no_record: &'static str,
    window: Window,
    points: Vec<Point>,
    records: Vec<Listed>,
    records_caption: String,
    members: Vec<Member>,
    members_title: &'static str,
    members_caption: String,
    participation_of: String,
    /// The feed in an address.
    query: String,
    scorecard: Scorecard,
    rounds: Vec<ShownRound>,
    rounds_span: String,
    strip_width: usize,
    sources: Vec<ShownSource>,
    sources_caption: String,
    ready: &'static str,
    ready_class: &'static str,
    conditions: Vec<ShownCondition>,
    actors: Vec<ShownActor>,
    tally: Vec<Figure>,
    links: Vec<Link>,
}

struct FeedLink {
    name: String,
    query: String,
    is_shown: bool,
}

struct Link {
    href: &'static str,
    text: &'static str,
}

impl Page {
    /// Puts the facts in words.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let (_, now) = facts.now;
        let records = facts.recent.records.as_slice();
        let last = records.first().map(|record| facts.last(record));
        let (notice_class, notice_title, warnings) = facts.notice();
        let members = facts.members();
        let open = facts.status.is_some_and(|status| status.open);
        let considered = records.len().min(PRESENCE);
        Self {
            title: match &last {
                Some(last) => format!("{}{} {} · quorate", last.price.whole, last.price.rest, facts.feed),
                None => format!("{} · quorate", facts.feed),
            },
            theme: match facts.theme {
                Some("dark") => Some("dark"),
                Some("light") => Some("light"),
                _ => None,
            },
            version_of_assets: facts.version_of_assets.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            now: now.get(),
            now_rfc3339: rfc3339(now),
            now_clock: clock(now),
            network: facts.network.to_owned(),
            name: facts.name(facts.me),
            address: facts.me.to_string(),
            feed: facts.feed.to_string(),
            stream: Some(format!("/api/v1/stream?feed={}", query(facts.feed))),
            feeds: facts.feeds.iter().map(|feed| facts.link(feed)).collect(),
            notice_class,
            notice_title,
            warnings,
            last,
            no_record: match facts.recent.problem {
                Some(_) => "The records cannot be read now",
                None => "No record yet",
            },
            window: facts.window(),
            points: records.iter().map(point).collect(),
            records: records
                .iter()
                .take(LISTED)
                .map(|record| facts.listed(record))
                .collect(),
            records_caption: format!("one every {} at most", duration(facts.write_interval)),
            members_caption: facts.status.map_or_else(String::new, |status| {
                let alive = format!("{} of {} heard", status.live, status.nodes.len());
                match status.required_validators {
                    0 => format!("{alive}, {} signatures make a quorum", status.required),
                    validators => format!(
                        "{alive}, {} signatures make a quorum, {validators} of them validators’",
                        status.required
                    ),
                }
            }),
            query: query(facts.feed),
            scorecard: facts.scorecard(),
            rounds: facts
                .rounds
                .iter()
                .take(ROUNDS)
                .map(|round| facts.round(round))
                .collect(),
            rounds_span: short_time(facts.span()),
            members_title: if open { "Nodes" } else { "Members" },
            members,
            participation_of: match considered {
                1 => "record".to_owned(),
                many => format!("{many} records"),
            },
            strip_width: (considered * TICK).saturating_sub(1).max(1),
            sources: facts.sources.iter().map(|source| facts.source(source)).collect(),
            sources_caption: "asked by this node".to_owned(),
            ready: if facts.readiness.is_ready() {
                "Ready"
            } else {
                "Not ready"
            },
            ready_class: if facts.readiness.is_ready() { "good" } else { "bad" },
            conditions: facts
                .readiness
                .conditions()
                .iter()
                .map(|condition| facts.condition(condition))
                .collect(),
            actors: facts.actors.iter().map(actor).collect(),
            tally: facts.tally(),
            links: LINKS.map(|(href, text)| Link { href, text }).into(),
        }
    }
}

const LINKS: [(&str, &str); 4] = [
    ("/api/v1/status", "Status as JSON"),
    ("/api/v1/actors", "Actors"),
    ("/readyz", "Readiness"),
    ("/metrics", "Metrics"),
];

impl Facts<'_> {
    pub(super) fn name(&self, address: Address) -> String {
        let known = self.names.get(&address).cloned();
        known.unwrap_or_else(|| address.short())
    }

    fn link(&self, feed: &Feed) -> FeedLink {
        FeedLink {
            name: feed.to_string(),
            query: query(feed),
            is_shown: feed == self.feed,
        }
    }

    /// What an operator must know first: what is missing, and if nothing is, what is worth a look.
    fn notice(&self) -> (&'static str, &'static str, Vec<String>) {
        let mut lines: Vec<String> = self.readiness.reasons().into_iter().map(str::to_owned).collect();
        let (class, title) = match lines.is_empty() {
            true => ("warn", "Worth knowing"),
            false => ("bad", "This node is not ready"),
        };
        if let Some(problem) = &self.recent.problem {
            lines.push(format!("records are shown as they were last read: {problem}"));
        }
        lines.extend(self.warnings.iter().cloned());
        (class, title, lines)
    }
}

/// As it stands in an address.
pub(super) fn query(feed: &Feed) -> String {
    feed.as_str().replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quorate_protocol::{Attestation, Digest, Evidence, NodeKey, Quote, Record};

    use super::*;

    const WRITTEN: u64 = 1_769_860_830_250;

    fn key(byte: u8) -> NodeKey {
        NodeKey::from_bytes([byte; 32]).unwrap()
    }

    fn record(sequence: u64, price: &str) -> Record {
        let observed_at = UnixMillis::new(WRITTEN - 250);
        let quote = |source: &str, price: &str| Quote {
            source: source.parse().unwrap(),
            price: price.parse().unwrap(),
            at: observed_at,
        };
        let digest = Digest::new([sequence.to_le_bytes()[0]; 32]);
        let sign = |byte: u8| Attestation {
            signer: key(byte).address(),
            signature: key(byte).sign(digest),
        };
        Record {
            sequence,
            previous: Digest::new([7; 32]),
            digest,
            feed: "ETH/USD".parse().unwrap(),
            price: price.parse().unwrap(),
            observed_at,
            observer: key(1).address(),
            evidence: Evidence::sorted(vec![quote("kraken", price), quote("coinbase", "3000")]).unwrap(),
            network: "local".to_owned(),
            written_at: UnixMillis::new(WRITTEN),
            written_by: key(2).address(),
            signatures: [1, 2].map(sign).into(),
            validators: BTreeSet::new(),
        }
    }

    /// The page so long after the newest record was written, while the Aggregator does not answer.
    fn page(recent: &Recent, age_ms: u64) -> String {
        let now = UnixMillis::new(WRITTEN + age_ms);
        let feed: Feed = "ETH/USD".parse().unwrap();
        let names = Names::from([(key(2).address(), "<script>alert(1)</script>".to_owned())]);
        let facts = Facts {
            now: (Instant::after_start(Duration::from_secs(100)), now),
            me: key(1).address(),
            network: "local",
            names: &names,
            feed: &feed,
            feeds: std::slice::from_ref(&feed),
            write_interval: Duration::from_secs(30),
            stale_after: Duration::from_secs(60),
            status: None,
            warnings: vec![],
            readiness: &Readiness::at(now),
            actors: &[],
            sources: &[],
            rounds: &[],
            scores: Scores::default(),
            recent,
            connected: None,
            peers: 2,
            mesh_peers: 2,
            theme: None,
            version_of_assets: "0",
        };
        Page::of(&facts).render().unwrap()
    }

    fn has(page: &str, part: &str) {
        assert!(page.contains(part), "{part} is not in {page}");
    }

    #[test]
    fn the_price_stands_there_with_its_change_and_its_verdict() {
        let recent = Recent {
            records: vec![record(8, "3030.457"), record(7, "3000.5")],
            problem: None,
        };
        let fresh = page(&recent, 12_000);
        has(&fresh, "<title>3,030.45 ETH/USD · quorate</title>");
        has(&fresh, "29.95 (0.998 %) in 0 s");
        has(&fresh, ">Fresh<");
        has(&fresh, "<b data-seconds>18</b>");
        has(&page(&recent, 63_000), ">Stale for 3 s<");
        has(&page(&recent, 30_000), "data-state=\"open\"");
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let recent = Recent {
            records: vec![record(8, "3000")],
            problem: None,
        };
        let page = page(&recent, 0);
        assert!(!page.contains("<script>alert"), "{page}");
        has(&page, "&#60;script&#62;alert(1)&#60;/script&#62;");
    }

    #[test]
    fn without_records_or_an_aggregator_the_page_says_what_is_missing() {
        let nothing = page(&Recent::default(), 0);
        has(&nothing, "No record yet");
        has(&nothing, "This node is not ready");
        has(&nothing, "The node does not tell whom it knows");
        let away = Recent {
            records: vec![],
            problem: Some("Connection refused".to_owned()),
        };
        has(
            &page(&away, 0),
            "records are shown as they were last read: Connection refused",
        );
    }
}
