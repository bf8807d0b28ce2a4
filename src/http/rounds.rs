//! `/api/v1/rounds`: what happened in the last rounds of a feed, as this node saw it.

use actix_web::{HttpResponse, web};
use quorate_actors::aggregator::AggregatorMessage;
use quorate_protocol::{Address, Feed, KEPT_ROUNDS, RoundTrace, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Views,
    ask::ask,
    problem::Problem,
    query::{Asked, Given, Query},
};
use crate::{
    config::{members::Names, values::number},
    show::rfc3339,
};

/// Rounds of one answer, if nobody says how many.
const USUAL: usize = 20;

/// Which rounds.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RoundsQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
    /// At most this many, the newest: 1 to 101, the one under way among them; 20 if not given.
    #[param(value_type = Option<usize>)]
    limit: usize,
}

impl Query for RoundsQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        let feed = given.feed()?;
        let limit = given.take("limit", number(1..=KEPT_ROUNDS + 1))?;
        Ok(Self {
            feed,
            limit: limit.unwrap_or(USUAL),
        })
    }
}

/// The last rounds of a feed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoundsAnswer {
    #[schema(example = "ETH/USD")]
    pub(crate) feed: String,
    /// The newest first: the one under way, and those before it.
    pub(crate) rounds: Vec<RoundBody>,
}

/// The work on one record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoundBody {
    /// The record's number.
    pub(crate) sequence: u64,
    /// When the first price for it was heard. All that is told in milliseconds is told from then on.
    pub(crate) began_at: Option<String>,
    /// The prices that were stated for it, in the order in which they were heard.
    pub(crate) statements: Vec<StatementBody>,
    /// The first that had enough signatures.
    pub(crate) quorum: Option<QuorumBody>,
    /// What was written; none while it is under way.
    pub(crate) record: Option<RoundRecordBody>,
    /// Write windows that passed without it.
    pub(crate) missed_windows: u64,
    /// Why they did, in one sentence.
    pub(crate) reason: Option<String>,
}

/// One node's price.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatementBody {
    pub(crate) digest: String,
    /// Who states it.
    pub(crate) observer: NodeBody,
    pub(crate) price: String,
    pub(crate) observed_at: String,
    /// When it was heard.
    pub(crate) after_ms: u64,
    /// Who signed, the observer first.
    pub(crate) signers: Vec<SignerBody>,
    /// Who did not, and said why.
    pub(crate) refusals: Vec<RefusalBody>,
}

/// A node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NodeBody {
    pub(crate) address: String,
    /// What it is called, if it is listed.
    pub(crate) name: Option<String>,
}

/// A signature.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SignerBody {
    #[serde(flatten)]
    pub(crate) node: NodeBody,
    /// When this node knew of it.
    pub(crate) after_ms: u64,
}

/// A refusal.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RefusalBody {
    #[serde(flatten)]
    pub(crate) node: NodeBody,
    /// The reason's name, as docs/protocol.md explains it.
    pub(crate) reason: String,
    /// Whether it only lacks what it would judge by, and may sign as soon as it has it.
    pub(crate) abstains: bool,
}

/// Enough signatures.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct QuorumBody {
    pub(crate) digest: String,
    /// When this node had them.
    pub(crate) after_ms: u64,
    pub(crate) signatures: usize,
    pub(crate) required: usize,
}

/// The record, as this node heard of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoundRecordBody {
    pub(crate) digest: String,
    pub(crate) writer: NodeBody,
    pub(crate) price: String,
    pub(crate) signatures: usize,
    /// When this node heard of it.
    pub(crate) after_ms: u64,
    /// How long that was after its write window had opened, if this node knew the window.
    pub(crate) late_ms: Option<u64>,
}

/// What happened in the last rounds: who stated what when, who signed or refused and why, when it was quorate, who wrote, and why a
/// window passed without a record.
#[utoipa::path(get, path = "/api/v1/rounds", tag = "network", params(RoundsQuery), responses(
    (status = 200, description = "The rounds", body = RoundsAnswer),
    super::openapi::Problems,
))]
pub(super) async fn rounds(
    views: web::Data<Views>,
    Asked(asked): Asked<RoundsQuery>,
) -> Result<HttpResponse, Problem> {
    let Some(rounds) = traces(&views, &asked.feed).await else {
        return Err(Problem::unavailable(
            "the Aggregator does not answer",
            "ask again, and see /api/v1/actors",
        ));
    };
    let names = views.names.borrow().clone();
    Ok(HttpResponse::Ok().json(RoundsAnswer {
        feed: asked.feed.to_string(),
        rounds: rounds
            .iter()
            .take(asked.limit)
            .map(|round| shown(round, &names))
            .collect(),
    }))
}

/// The last rounds of a feed; `None`: the Aggregator does not answer.
pub(crate) async fn traces(views: &Views, feed: &Feed) -> Option<Vec<RoundTrace>> {
    ask(&views.aggregator, |asker| {
        AggregatorMessage::AskRounds(feed.clone(), asker)
    })
    .await
}

/// A round with the names of its nodes.
pub(crate) fn shown(round: &RoundTrace, names: &Names) -> RoundBody {
    let node = |address: Address| NodeBody {
        address: address.to_string(),
        name: names.get(&address).cloned(),
    };
    let after_ms = |at: UnixMillis| {
        let began = round.began_at.unwrap_or(at);
        u64::try_from(at.since(began).as_millis()).unwrap_or(u64::MAX)
    };
    let statement = |statement: &quorate_protocol::Statement| StatementBody {
        digest: statement.digest.to_string(),
        observer: node(statement.observer),
        price: statement.price.to_string(),
        observed_at: rfc3339(statement.observed_at),
        after_ms: after_ms(statement.heard_at),
        signers: statement
            .signers
            .iter()
            .map(|signed| SignerBody {
                node: node(signed.node),
                after_ms: after_ms(signed.at),
            })
            .collect(),
        refusals: statement
            .refusals
            .iter()
            .map(|refused| RefusalBody {
                node: node(refused.node),
                reason: refused.reason.to_owned(),
                abstains: refused.abstains,
            })
            .collect(),
    };
    RoundBody {
        sequence: round.sequence,
        began_at: round.began_at.map(rfc3339),
        statements: round.statements.iter().map(statement).collect(),
        quorum: round.quorum.as_ref().map(|quorum| QuorumBody {
            digest: quorum.digest.to_string(),
            after_ms: after_ms(quorum.at),
            signatures: quorum.signatures,
            required: quorum.required,
        }),
        record: round.record.as_ref().map(|record| RoundRecordBody {
            digest: record.digest.to_string(),
            writer: node(record.writer),
            price: record.price.to_string(),
            signatures: record.signatures,
            after_ms: after_ms(record.at),
            late_ms: record.late_ms,
        }),
        missed_windows: round.missed_windows,
        reason: round.reason.clone(),
    }
}
