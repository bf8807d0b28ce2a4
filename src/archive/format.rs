//! The file that `quorate archive` writes: JSON lines, compressed with gzip. The first says what the network's rules were, the
//! last how many records there are and where they end; each between is a record that proves itself. docs/verifying.md
//! describes it for programs that are not ours.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use quorate_protocol::{Address, Digest, Feed, Record};
use serde::{Deserialize, Serialize};

use crate::record_json::RecordJson;

/// Another number is another format.
pub(crate) const VERSION: u32 = 1;

/// How the first and the last line begin, and no other line.
pub(crate) const HEADER: &[u8] = b"{\"quorate_archive\":";
pub(crate) const TRAILER: &[u8] = b"{\"end\":";

/// What a source says of its network. A stranger need not believe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) quorate_archive: u32,
    /// `None` of a database without a record.
    pub(crate) network: Option<String>,
    pub(crate) write_interval_ms: u64,
    pub(crate) min_signatures: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quorum_fraction: Option<String>,
    /// All that have ever been members; none of an open network.
    pub(crate) members: Vec<MemberJson>,
}

/// A member, now or formerly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberJson {
    pub(crate) address: Address,
    pub(crate) name: String,
}

impl Header {
    /// The least time between two records of a feed.
    pub(crate) fn write_interval(&self) -> Duration {
        Duration::from_millis(self.write_interval_ms)
    }
}

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trailer {
    pub(crate) records: u64,
    pub(crate) feeds: BTreeMap<Feed, End>,
}

/// The records of one feed; as each names the one before it, the last digest stands for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) digest: Digest,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LastLine {
    pub(crate) end: Trailer,
}

/// Writes an archive, record by record.
pub(crate) struct Writer<W: Write> {
    out: GzEncoder<W>,
    trailer: Trailer,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the first line.
    pub(crate) fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            out: GzEncoder::new(out, Compression::default()),
            trailer: Trailer::default(),
            line: Vec::new(),
        };
        writer.write_line(header)?;
        Ok(writer)
    }

    /// Writes a record: those of a feed together, in the order of their numbers.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        self.write_line(&RecordJson::from(record))?;
        let Record { sequence, digest, .. } = *record;
        self.trailer.records += 1;
        let end = self.trailer.feeds.entry(record.feed.clone()).or_insert(End {
            first: sequence,
            last: sequence,
            digest,
        });
        (end.last, end.digest) = (sequence, digest);
        Ok(())
    }

    /// Writes the last line; returns it and the file below.
    pub(crate) fn finish(mut self) -> io::Result<(W, Trailer)> {
        let last = LastLine {
            end: std::mem::take(&mut self.trailer),
        };
        self.write_line(&last)?;
        Ok((self.out.finish()?, last.end))
    }

    fn write_line(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}
