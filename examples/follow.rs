//! Follows the prices of a quorate network and verifies each: digest, median, signatures, and that none is missing. When a connection
//! breaks, it goes on where it stopped, with the next node of those that are named.
//!
//! ```text
//! cargo run --example follow -- [--feed ETH/USD] [--count N] [--after NUMBER] URL...
//! ```

#![allow(
    clippy::print_stderr,
    reason = "what a person at a terminal is told beside the prices"
)]

use std::{error::Error, time::Duration};

use awc::Client;
use clap::Parser;
use futures::StreamExt;
use quorate_protocol::{
    Address, Attestation, Digest, Evidence, Feed, Price, Quote, Record, Signature, Source, UnixMillis,
};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

/// A node says something every 15 s.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "ETH/USD")]
    feed: Feed,
    /// End after so many records
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
    /// Begin after the record with this number
    #[arg(long)]
    after: Option<u64>,
    /// Like http://127.0.0.1:8080
    #[arg(required = true)]
    nodes: Vec<String>,
}

/// A record as the API tells it: what is signed, and the signatures.
#[derive(Deserialize)]
struct Told {
    feed: Feed,
    sequence: u64,
    previous: Digest,
    digest: Digest,
    network: String,
    price: Price,
    observed_at_ms: UnixMillis,
    observer: Address,
    evidence: Vec<ToldQuote>,
    written_by: Address,
    signatures: Vec<ToldSignature>,
}

#[derive(Deserialize)]
struct ToldQuote {
    source: Source,
    price: Price,
    at: UnixMillis,
}

#[derive(Deserialize)]
struct ToldSignature {
    signer: Address,
    signature: Signature,
}

impl Told {
    fn into_record(self) -> Result<Record, Box<dyn Error>> {
        let quotes = self.evidence.into_iter();
        let quotes = quotes.map(|ToldQuote { source, price, at }| Quote { source, price, at });
        let signatures = self.signatures.into_iter();
        let signatures =
            signatures.map(|ToldSignature { signer, signature }| Attestation { signer, signature });
        Ok(Record {
            feed: self.feed,
            sequence: self.sequence,
            previous: self.previous,
            digest: self.digest,
            price: self.price,
            observed_at: self.observed_at_ms,
            observer: self.observer,
            evidence: Evidence::new(quotes.collect())?,
            network: self.network,
            // Not signed.
            written_at: UnixMillis::new(0),
            written_by: self.written_by,
            signatures: signatures.collect(),
            validators: [].into(),
        })
    }
}

/// Where this client is: what it verified last, and how many records it still wants.
struct Follower {
    feed: Feed,
    last_id: Option<String>,
    last: Option<(u64, Digest)>,
    left: u64,
}

impl Follower {
    /// Reads one stream until it ends.
    async fn read(&mut self, node: &str) -> Result<(), Box<dyn Error>> {
        let mut request = Client::new().get(format!("{node}/api/v1/stream?feed={}", self.feed));
        if let Some(id) = &self.last_id {
            request = request.insert_header(("Last-Event-ID", id.as_str()));
        }
        let mut answer = request.send().await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(String::from_utf8_lossy(&answer.body().await?).into());
        }
        let mut text = String::new();
        while self.left > 0 {
            let Some(chunk) = timeout(PATIENCE, answer.next()).await? else {
                return Ok(());
            };
            text += std::str::from_utf8(&chunk?)?;
            while let Some((event, rest)) = text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.take(&event)?;
                text = rest;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &str) -> Result<(), Box<dyn Error>> {
        let field = |name: &str| {
            event
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        match (field("event"), field("id"), field("data")) {
            (Some("record"), Some(id), Some(data)) if self.left > 0 => {
                self.verify(serde_json::from_str::<Told>(data)?.into_record()?);
                self.last_id = Some(id.to_owned());
                self.left -= 1;
            }
            (Some("end"), _, Some(data)) => eprintln!("the node says: {data}"),
            _ => {}
        }
        Ok(())
    }

    /// Who are members, and whether they are enough, is for who trusts them to say.
    fn verify(&mut self, record: Record) {
        let name = format!("{}:{}", record.feed, record.sequence);
        let not_genuine = |reason: String| -> ! {
            eprintln!("{name} is not genuine: {reason}");
            std::process::exit(1);
        };
        let signers = match record.verify() {
            Ok(signers) => signers.len(),
            Err(fault) => not_genuine(fault.to_string()),
        };
        if let Some((sequence, digest)) = self.last
            && (record.sequence, record.previous) != (sequence + 1, digest)
        {
            not_genuine(format!("it does not follow record {sequence}"));
        }
        println!("{name} {} verified, {signers} signers", record.price);
        self.last = Some((record.sequence, record.digest));
    }
}

#[actix_rt::main]
async fn main() {
    let Arguments {
        feed,
        count,
        after,
        nodes,
    } = Arguments::parse();
    let last_id = after.map(|after| format!("{feed}:{after}"));
    let mut follower = Follower {
        feed,
        last_id,
        last: None,
        left: count,
    };
    for node in nodes.iter().cycle() {
        let end = follower.read(node).await;
        if follower.left == 0 {
            return;
        }
        let reason = end
            .err()
            .map_or("the stream has ended".to_owned(), |error| error.to_string());
        eprintln!("{node}: {reason}");
        sleep(Duration::from_secs(1)).await;
    }
}
