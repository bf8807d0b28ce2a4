//! What was found, counted and said. Pure: checked records in, text out.

use std::{collections::BTreeMap, path::Path, time::Duration};

use quorate_protocol::{
    Committee, Digest, Feed, Members, Record,
    history::{Fault, History, Span, Start},
};
use serde_json::{Value, json};

use super::pipeline::{Checked, Item};
use crate::{
    archive::format::{Header, Trailer},
    config::verify::Trusted,
};

/// Everything that is known after some records: of each feed where it stands, of faults the first and how many.
pub(crate) struct Tally {
    trusted: Trusted,
    history: History,
    /// What the last source that said anything said of itself.
    said: Option<Header>,
    sources: Vec<String>,
    /// Records of the last source.
    in_source: u64,
    records: u64,
    faults: BTreeMap<&'static str, u64>,
    first: Option<First>,
}

/// The first thing that does not hold.
struct First {
    source: String,
    /// The record of its source, counted from 1.
    nth: u64,
    /// The record, if it could be read.
    name: Option<(Feed, u64)>,
    fault: Fault,
}

impl Tally {
    /// Nothing has been read.
    pub(crate) fn new(trusted: Trusted) -> Self {
        let network = trusted.network.as_ref().map(ToString::to_string);
        let mut tally = Self {
            trusted,
            history: History::new(network),
            said: None,
            sources: Vec::new(),
            in_source: 0,
            records: 0,
            faults: BTreeMap::new(),
            first: None,
        };
        tally.history.space_by(tally.write_interval());
        tally
    }

    /// The records of this feed follow the one with this number and digest.
    pub(crate) fn begin_after(&mut self, feed: Feed, sequence: u64, digest: Digest) {
        self.history.begin_after(feed, sequence, digest);
    }

    /// The next item, in the order of reading.
    pub(crate) fn take(&mut self, checked: Checked) {
        match checked {
            Checked::Record(record, proof) => {
                self.count_record();
                let found = match proof {
                    Ok(()) => self.history.follow(&record).err(),
                    Err(fault) => {
                        self.history.pass_over(&record);
                        Some(fault)
                    }
                };
                if let Some(fault) = found {
                    self.note(fault, Some(&record));
                }
            }
            Checked::Unreadable(fault) => {
                self.count_record();
                self.note(fault, None);
            }
            Checked::Other(Item::Source(name)) => {
                self.sources.push(name);
                self.in_source = 0;
            }
            Checked::Other(Item::Header(header)) => {
                self.said = Some(header);
                self.history.space_by(self.write_interval());
            }
            Checked::Other(Item::Begins(feed, sequence, digest)) => {
                self.history.begin_after(feed, sequence, digest);
            }
            Checked::Other(Item::Trailer(trailer)) => self.end_of_archive(&trailer),
            Checked::Other(Item::Fault(fault)) => self.note(fault, None),
            // These come as records.
            Checked::Other(Item::Record(_) | Item::Text(_) | Item::Unreadable(_)) => {}
        }
    }

    fn count_record(&mut self) {
        self.records += 1;
        self.in_source += 1;
    }

    /// Only of records that all hold: else it would tell the same fault again.
    fn end_of_archive(&mut self, trailer: &Trailer) {
        if self.first.is_some() {
            return;
        }
        for (feed, end) in &trailer.feeds {
            let last = self.history.last(feed);
            if last != Some((end.last, end.digest)) {
                let there = last.map_or("none".to_owned(), |(sequence, _)| format!("record {sequence}"));
                let said = format!(
                    "its last line names record {} as the last of {feed}, there is {there}",
                    end.last
                );
                self.note(Fault::Truncated(said), None);
            }
        }
    }

    fn note(&mut self, fault: Fault, record: Option<&Record>) {
        *self.faults.entry(fault.label()).or_default() += 1;
        if self.first.is_none() {
            self.first = Some(First {
                source: self.sources.last().cloned().unwrap_or_default(),
                nth: self.in_source,
                name: record.map(|record| (record.feed.clone(), record.sequence)),
                fault,
            });
        }
    }

    fn write_interval(&self) -> Option<Duration> {
        let said = self.said.as_ref().map(Header::write_interval);
        self.trusted
            .write_interval
            .or(said)
            .filter(|interval| !interval.is_zero())
    }

    /// How many records there were.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// How many things do not hold.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    fn committee(&self) -> Committee {
        committee(&self.trusted, self.said.as_ref())
    }

    /// Who says who the members are.
    fn members_by(&self) -> String {
        match &self.trusted.members {
            Some((path, _)) => Path::new(path).display().to_string(),
            None => "by the word of the source".to_owned(),
        }
    }

    /// What could not be found out, and how it could.
    fn not_checked(&self) -> Vec<String> {
        let mut not = Vec::new();
        match (&self.trusted.members, self.committee().members) {
            (None, Members::Open) => {
                not.push(
                    "whether the signers are members: give the list that you trust with --members".to_owned(),
                );
            }
            (None, Members::Closed(_)) => {
                let source = "whether the source's list of members is the right one: give the one that you trust with --members";
                not.push(source.to_owned());
            }
            _ => {}
        }
        if self.write_interval().is_none() {
            not.push("how far apart records were written: --write-interval says what is allowed".to_owned());
        }
        for (feed, Span { first, .. }) in self
            .history
            .spans()
            .filter(|(_, span)| span.start == Start::OnTrust)
        {
            not.push(format!(
                "what came before record {first} of {feed}, and so whether it follows it"
            ));
        }
        not
    }

    /// Lines for people.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![(
            "read",
            format!("{} records of {}", self.records, self.sources.join(", ")),
        )];
        if let Some(network) = self.history.network() {
            lines.push(("network", network.to_owned()));
        }
        for (feed, Span { start, first, last }) in self.history.spans() {
            let from = match start {
                Start::Beginning => "from its first record on",
                Start::Known => "behind those that were archived",
                Start::OnTrust => "",
            };
            let text = format!("{first} to {last} {from}");
            lines.push((feed.as_str(), text.trim_end().to_owned()));
        }
        let Committee { members, rule } = self.committee();
        if let Some(count) = members.count() {
            lines.push(("members", format!("{count}, {}", self.members_by())));
        }
        let fraction = rule.fraction.map_or(String::new(), |fraction| {
            format!(", of more than {fraction} of the members")
        });
        lines.push((
            "signatures",
            format!("{} or more of each record{fraction}", rule.min_signatures),
        ));
        if let Some(interval) = self.write_interval() {
            lines.push(("apart", format!("{interval:?} or more")));
        }
        let not = self.not_checked();
        lines.extend(not.into_iter().map(|what| ("not checked", what)));
        if let Some(First {
            nth,
            source,
            name,
            fault,
        }) = &self.first
        {
            let counts: Vec<String> = self
                .faults
                .iter()
                .map(|(label, count)| format!("{count} {label}"))
                .collect();
            lines.push(("faults", counts.join(", ")));
            let place = match name {
                Some((feed, sequence)) => format!("record {sequence} of {feed}, number {nth} of {source}"),
                None => format!("at number {nth} of {source}"),
            };
            lines.push(("first fault", format!("{}: {place}: {fault}", fault.label())));
            lines.push(("", fault.meaning().to_owned()));
        } else if self.records > 0 {
            lines.push((
                "verdict",
                "every record holds, and none is missing among them".to_owned(),
            ));
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        lines
            .iter()
            .map(|(name, text)| format!("{name:width$}  {text}\n"))
            .collect()
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let feed = |(feed, Span { start, first, last }): (&Feed, Span)| {
            let begins = match start {
                Start::Beginning => "with_the_first",
                Start::Known => "behind_archived",
                Start::OnTrust => "on_trust",
            };
            json!({ "feed": feed, "first": first, "last": last, "begins": begins })
        };
        let Committee { members, rule } = self.committee();
        let first = self.first.as_ref().map(
            |First {
                 nth,
                 source,
                 name,
                 fault,
             }| {
                json!({
                    "source": source,
                    "number": nth,
                    "feed": name.as_ref().map(|(feed, _)| feed),
                    "sequence": name.as_ref().map(|(_, sequence)| sequence),
                    "reason": fault.label(),
                    "text": fault.to_string(),
                    "meaning": fault.meaning(),
                })
            },
        );
        json!({
            "verified": self.first.is_none() && self.records > 0,
            "records": self.records,
            "sources": self.sources,
            "network": self.history.network(),
            "feeds": self.history.spans().map(feed).collect::<Vec<_>>(),
            "members": members.count(),
            "members_trusted": self.trusted.members.is_some(),
            "min_signatures": rule.min_signatures,
            "quorum_fraction": rule.fraction.map(|fraction| fraction.to_string()),
            "write_interval_ms": self.write_interval().map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
            "not_checked": self.not_checked(),
            "faults": self.faults,
            "first_fault": first,
        })
    }
}

/// What records are held against, if their source says this of itself.
pub(crate) fn committee(trusted: &Trusted, said: Option<&Header>) -> Committee {
    let members = match said {
        Some(header) if !header.members.is_empty() => {
            Members::Closed(header.members.iter().map(|member| member.address).collect())
        }
        _ => Members::Open,
    };
    trusted.committee(members, said.map(|header| header.min_signatures))
}
