//! gossipsub, set for few, small, signed messages. What it may read of a peer at all, [`super::frames`] decides.

use std::{collections::HashSet, fmt, io, time::Duration};

use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, DataTransform, IdentTopic, Message, MessageAuthenticity, MessageId,
    PeerScoreParams, PeerScoreThresholds, RawMessage, TopicHash, TopicScoreParams, ValidationMode,
    WhitelistSubscriptionFilter,
};
use prometheus::IntCounter;
use quorate_protocol::{judge::JudgeConfig, keccak256, seal::MAX_SEALED_BYTES};

/// The topic that everybody publishes to.
pub const TOPIC: &str = "eth_prices";

pub(super) type Gossipsub = Behaviour<CountCopies, WhitelistSubscriptionFilter>;

/// Longest frame. The decoder holds the limit against its whole buffer: what is there of one frame, and the 8 KiB that it read
/// last. So less than 25 KiB would break the stream of a peer that sends valid messages of [`MAX_SEALED_BYTES`].
const MAX_FRAME_BYTES: usize = 32 * 1024;
/// What the decoder reads at a time, and what gossipsub writes around a message.
const READ_AHEAD: usize = 8 * 1024 + 64;
const _: () = assert!(MAX_SEALED_BYTES + READ_AHEAD <= MAX_FRAME_BYTES);
/// Messages in one frame. Every known implementation sends one.
const MAX_MESSAGES_PER_FRAME: usize = 64;
/// Frames that wait for a slow peer. Several windows of a large network; what is older is worthless.
const QUEUE: usize = 512;

/// Peers in the mesh, D. With 10 nodes, 3 cost 120 kB in 30 s, 4 168 and 6 213 (measured), and a random network in which
/// everybody has at least 3 neighbours is in one piece, of 4 nodes as of 100 (simulated; docs/architecture.md has the
/// figures). A network of 3 or 4 is fully meshed anyway.
const MESH: usize = 3;
/// Below it the node grafts, D_low. The same: every neighbour less is a way less around a node that fails.
const MESH_LOW: usize = 3;
/// Grafts come in from others too; above this, D_high, the surplus is pruned.
const MESH_HIGH: usize = 5;
/// Of the mesh, at least this many that we dialled ourselves: strangers cannot surround the node.
const MESH_OUTBOUND: usize = 1;
/// Peers outside the mesh that are told each second what is new: repairs what a lost mesh link cost. One is enough in small
/// networks, 5 in 100 in large ones; more is most of the idle traffic.
const GOSSIP_PEERS: usize = 1;
const GOSSIP_FACTOR: f64 = 0.05;
/// Heartbeats for which a message is advertised to them: two, so that one that comes just before the first is in the second.
const GOSSIP_HISTORY: usize = 2;
/// Heartbeats for which a message can still be asked for, or be given its verdict. Twice the default, for busy machines.
const HISTORY: usize = 10;
/// How long a message may wait to be passed on. The default second loses some on a busy machine; older ones than this are late
/// for the window that they are about.
const FORWARD_WITHIN: Duration = Duration::from_secs(5);
/// How soon a pruned peer may ask again. The default minute is long for a network that writes every 30 s.
const PRUNE_BACKOFF: Duration = Duration::from_secs(20);

/// One invalid message costs `4 * 1²` and the place in the mesh (any score below 0 does), two cost 16, five 100. The ban
/// comes at the fifth.
const INVALID_MESSAGE: f64 = -4.0;
/// Below it, gossipsub ignores a peer altogether until its score has recovered. Alone it bans nobody: scores also fall for honest
/// nodes on busy machines.
pub(super) const GRAYLIST: f64 = -80.0;
/// How long a peer may take to send what it advertised, and what it costs not to. With libp2p's 3 s and weight of 10, 100 nodes
/// on one busy machine graylisted each other.
const PROMISE: Duration = Duration::from_secs(10);
const BEHAVIOUR_PENALTY: f64 = -1.0;
const BEHAVIOUR_FORGIVEN: f64 = 10.0;
/// Scores outlive a connection by this. The bans remember the worst for longer; ids are free, so this bounds memory.
const RETAIN_SCORE: Duration = Duration::from_secs(60);

/// gossipsub for the network that the judge judges for, subscribed to [`TOPIC`].
///
/// # Errors
/// What gossipsub refuses about its settings: a defect.
pub(super) fn build(judge: &JudgeConfig, copies: IntCounter) -> Result<Gossipsub, String> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message: &Message| id(&message.data))
        .max_transmit_size(MAX_FRAME_BYTES)
        .max_publish_messages(MAX_MESSAGES_PER_FRAME)
        .connection_handler_queue_len(QUEUE)
        .duplicate_cache_time(remember(judge))
        .heartbeat_initial_delay(Duration::from_millis(500))
        .mesh_n(MESH)
        .mesh_n_low(MESH_LOW)
        .mesh_n_high(MESH_HIGH)
        .mesh_outbound_min(MESH_OUTBOUND)
        .gossip_lazy(GOSSIP_PEERS)
        .gossip_factor(GOSSIP_FACTOR)
        .history_length(HISTORY)
        .forward_queue_duration(FORWARD_WITHIN)
        .history_gossip(GOSSIP_HISTORY)
        .prune_backoff(PRUNE_BACKOFF)
        .iwant_followup_time(PROMISE)
        // To the mesh only: our own messages then cost no more than those we pass on.
        .flood_publish(false)
        .build()
        .map_err(|error| error.to_string())?;
    // Anonymous: a message carries its signers' signatures; another one by whoever passes it on would only cost bytes.
    let mut gossip = Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        WhitelistSubscriptionFilter(HashSet::from([topic().hash()])),
        CountCopies { copies },
    )?;
    let thresholds = PeerScoreThresholds {
        gossip_threshold: -8.0,
        publish_threshold: -16.0,
        graylist_threshold: GRAYLIST,
        accept_px_threshold: 0.0,
        // With few messages scores stay near 0; any more would graft further peers every minute.
        opportunistic_graft_threshold: 0.0,
    };
    gossip.with_peer_score(score_params(), thresholds)?;
    gossip.subscribe(&topic()).map_err(|error| error.to_string())?;
    Ok(gossip)
}

pub(super) fn topic() -> IdentTopic {
    IdentTopic::new(TOPIC)
}

/// The id of a message is what it says, so that the same message by another way is the same.
pub(super) fn id(data: &[u8]) -> MessageId {
    MessageId::new(&keccak256([data]).as_bytes()[..20])
}

/// Longer than the judge could accept a message for, so that no replay gets past the cache and is judged anew.
fn remember(judge: &JudgeConfig) -> Duration {
    judge.max_age.max(judge.max_written_age) + judge.future_tolerance + Duration::from_secs(30)
}

fn score_params() -> PeerScoreParams {
    let topic_params = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        // A little for those who bring news first: when the mesh is pruned, they stay.
        first_message_deliveries_weight: 0.5,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 10.0,
        // Off: with a burst of messages a window, nobody delivers at a rate.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: INVALID_MESSAGE,
        invalid_message_deliveries_decay: 0.9,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: [(topic().hash(), topic_params)].into(),
        decay_interval: Duration::from_secs(10),
        retain_score: RETAIN_SCORE,
        // Off: whole networks run on one machine, or behind one address.
        ip_colocation_factor_weight: 0.0,
        // Grafts that cross a prune happen to honest nodes too, when many start at once.
        behaviour_penalty_weight: BEHAVIOUR_PENALTY,
        behaviour_penalty_threshold: BEHAVIOUR_FORGIVEN,
        behaviour_penalty_decay: 0.9,
        // A machine that is busy for a moment is no offender.
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

/// Counts every copy of a message, also of those that gossipsub then knows.
#[derive(Clone)]
pub(super) struct CountCopies {
    copies: IntCounter,
}

impl fmt::Debug for CountCopies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountCopies").finish_non_exhaustive()
    }
}

impl DataTransform for CountCopies {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, io::Error> {
        self.copies.inc();
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, io::Error> {
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip_bridge::documented;

    #[test]
    fn the_documented_numbers_are_those_that_count() {
        let lazy = format!("{GOSSIP_PEERS}, or {GOSSIP_FACTOR} of them");
        for (what, number) in [
            ("D", MESH.to_string()),
            ("D_low", MESH_LOW.to_string()),
            ("D_high", MESH_HIGH.to_string()),
            ("D_out", MESH_OUTBOUND.to_string()),
            ("D_lazy", lazy),
            ("messages in a frame", MAX_MESSAGES_PER_FRAME.to_string()),
            ("frame", format!("{} KiB", MAX_FRAME_BYTES / 1024)),
            ("queue to a slow peer", QUEUE.to_string()),
        ] {
            assert_eq!(documented(what), number, "{what}");
        }
    }
}
