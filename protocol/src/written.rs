//! The news that a certificate stands in the database.

use serde::{Deserialize, Serialize};

use crate::{
    address::Address,
    digest::{Digest, eip712},
    names::Network,
    report::{Certificate, Report},
    signing::{NodeKey, Signature},
    time::UnixMillis,
};

const WRITTEN_TYPE: &str = "Written(bytes32 record,address writer,uint64 writtenAt)";

/// A certificate and the signed word of the node that wrote it. On the wire: `[report, writer, written_at, signature]`.
///
/// It ends the propagation and closes the window at once, without a query. It can be a lie all the same: receivers ask
/// the database shortly afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Written {
    /// What was written.
    pub report: Report,
    /// Who wrote it.
    pub writer: Address,
    /// When, by the database's clock.
    pub written_at: UnixMillis,
    /// The writer's signature over digest, writer and time.
    pub signature: Signature,
}

type Wire = (Report, Address, UnixMillis, Signature);

impl Written {
    /// Announces `certificate`, written at `written_at`, in the name of `key`.
    pub fn sign(certificate: &Certificate, written_at: UnixMillis, network: &Network, key: &NodeKey) -> Self {
        let writer = key.address();
        let signature = key.sign(digest(network, certificate.digest(), writer, written_at));
        Self {
            report: certificate.report().to_report(),
            writer,
            written_at,
            signature,
        }
    }

    /// Whether the writer really said so of the record `record`.
    pub fn is_authentic(&self, network: &Network, record: Digest) -> bool {
        self.signature
            .recover(digest(network, record, self.writer, self.written_at))
            == Ok(self.writer)
    }
}

fn digest(network: &Network, record: Digest, writer: Address, written_at: UnixMillis) -> Digest {
    let fields = [
        *record.as_bytes(),
        eip712::address(&writer),
        eip712::uint(written_at.get().into()),
    ];
    eip712::digest(network, WRITTEN_TYPE, &fields)
}

impl From<Wire> for Written {
    fn from((report, writer, written_at, signature): Wire) -> Self {
        Self {
            report,
            writer,
            written_at,
            signature,
        }
    }
}

impl From<Written> for Wire {
    fn from(w: Written) -> Self {
        (w.report, w.writer, w.written_at, w.signature)
    }
}
