//! `/api/v1/members`, `/api/v1/peers`, `/api/v1/actors`: who makes the records, as this node sees it now.

use actix_web::{HttpResponse, web};
use quorate_actors::gossip_bridge::ConnectedPeer;
use quorate_protocol::{
    Instant,
    rounds::{FeedStatus, NodeStatus},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Views, problem::Problem, status::statuses};
use crate::config::members::Names;

/// The members and the rule by which they agree.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MembersAnswer {
    /// Whether anybody counts who can connect; then these are the nodes that were heard of.
    open: bool,
    /// Signatures that make a quorum now.
    required: usize,
    /// How many of them must be validators'.
    required_validators: usize,
    /// How many are alive.
    live: usize,
    members: Vec<MemberBody>,
}

/// One member.
#[derive(Debug, Serialize, ToSchema)]
struct MemberBody {
    /// What it is called, if it is listed.
    name: Option<String>,
    /// Whether it is the node that answers.
    this_node: bool,
    /// What this node knows of it: address, alive, validator, version, last_observation, clock_offset_ms, quarantined_ms, findings
    /// and findings_of_others, as in `/api/v1/status`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    status: NodeStatus,
}

/// The members, how alive and how honest they are.
#[utoipa::path(get, path = "/api/v1/members", tag = "network", responses(
    (status = 200, description = "The members", body = MembersAnswer),
    super::openapi::Problems,
))]
pub(super) async fn members(views: web::Data<Views>) -> Result<HttpResponse, Problem> {
    let feeds = known(&views).await?;
    let Some(first) = feeds.into_iter().next() else {
        return Err(silent("Aggregator"));
    };
    let names = views.names.borrow().clone();
    let members = first.nodes.into_iter().map(|status| MemberBody {
        name: names.get(&status.address).cloned(),
        this_node: status.address == views.address,
        status,
    });
    let members: Vec<MemberBody> = members.collect();
    Ok(HttpResponse::Ok().json(MembersAnswer {
        open: first.open,
        required: first.required,
        required_validators: first.required_validators,
        live: first.live,
        members,
    }))
}

/// The other nodes, seen from this one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PeersAnswer {
    /// Peers that are connected and listen.
    connected: i64,
    /// Those of them that messages go to directly.
    mesh: i64,
    /// Peers that were banned since the start of the process.
    bans: u64,
    /// Each connected peer, also those that do not listen yet; by address.
    peers: Vec<PeerBody>,
    /// The nodes that have been heard of lately, connected to this one or not.
    alive: Vec<AliveBody>,
}

/// A connected peer. Where it is on the network is not told, since anybody may read this: the log says it (`peer found`).
#[derive(Debug, Serialize, ToSchema)]
struct PeerBody {
    address: String,
    /// What it is called, if it is listed.
    name: Option<String>,
    /// Whether it is of this network and listens to prices.
    up: bool,
    /// How it was found: `static`, `dns`, `members`, `mdns` or `inbound`.
    via: String,
    /// For how long it has been connected.
    connected_ms: u64,
    /// How long the last ping took, there and back, once one was answered.
    ping_us: Option<u64>,
    /// What it calls its software: not verified.
    agent: Option<String>,
}

/// One other node.
#[derive(Debug, Serialize, ToSchema)]
struct AliveBody {
    address: String,
    /// What it is called, if it is listed.
    name: Option<String>,
    /// The version of its software, once it has told.
    version: Option<String>,
    /// How far its clock is ahead of this node's.
    clock_offset_ms: Option<i64>,
}

/// Who is connected.
#[utoipa::path(get, path = "/api/v1/peers", tag = "network", responses(
    (status = 200, description = "The peers", body = PeersAnswer),
    super::openapi::Problems,
))]
pub(super) async fn peers(views: web::Data<Views>) -> Result<HttpResponse, Problem> {
    let feeds = known(&views).await?;
    let nodes = feeds
        .into_iter()
        .next()
        .map(|first| first.nodes)
        .unwrap_or_default();
    let bridge = views
        .gossip_bridge
        .status(views.clock)
        .await
        .ok_or_else(|| silent("GossipBridge"))?;
    let (names, now) = (views.names.borrow().clone(), views.clock.now());
    let mut connected = bridge.peers;
    connected.sort_by_key(|peer| peer.address);
    let peers = connected
        .into_iter()
        .map(|peer| PeerBody::new(peer, &names, now))
        .collect();
    let others = nodes
        .into_iter()
        .filter(|node| node.alive && node.address != views.address);
    Ok(HttpResponse::Ok().json(PeersAnswer {
        connected: views.bridge.peers.get(),
        mesh: views.bridge.mesh_peers.get(),
        bans: views.bridge.bans.get(),
        peers,
        alive: others.map(|node| AliveBody::new(node, &names)).collect(),
    }))
}

impl PeerBody {
    fn new(peer: ConnectedPeer, names: &Names, now: Instant) -> Self {
        Self {
            address: peer.address.to_string(),
            name: names.get(&peer.address).cloned(),
            up: peer.is_up,
            via: peer.via.to_string(),
            connected_ms: saturated(now.since(peer.since).as_millis()),
            ping_us: peer.ping.map(|took| saturated(took.as_micros())),
            agent: peer.agent,
        }
    }
}

fn saturated(number: u128) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

impl AliveBody {
    fn new(node: NodeStatus, names: &Names) -> Self {
        Self {
            address: node.address.to_string(),
            name: names.get(&node.address).cloned(),
            version: node.version,
            clock_offset_ms: node.clock_offset_ms,
        }
    }
}

/// The actors of this node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActorsAnswer {
    /// Whether the process can still help itself.
    live: bool,
    /// Name, state, restarts, messages and mailbox of each.
    #[schema(value_type = Vec<Object>)]
    actors: Value,
}

/// The actors as the supervisor sees them.
#[utoipa::path(get, path = "/api/v1/actors", tag = "node", responses(
    (status = 200, description = "The actors", body = ActorsAnswer),
))]
pub(super) async fn actors(views: web::Data<Views>) -> HttpResponse {
    HttpResponse::Ok().json(ActorsAnswer {
        live: views.supervisor.is_live(),
        actors: serde_json::json!(views.supervisor.statuses()),
    })
}

async fn known(views: &Views) -> Result<Vec<FeedStatus>, Problem> {
    statuses(views).await.ok_or_else(|| silent("Aggregator"))
}

fn silent(actor: &str) -> Problem {
    Problem::unavailable(
        format!("the {actor} does not answer"),
        "ask again, and see /api/v1/actors",
    )
}
