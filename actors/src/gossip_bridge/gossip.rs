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

/// Peers in the mesh, to whom others' messages are passed on unasked: none. Nodes are connected to all others, so everybody tells everybody
/// itself (flood_publish), which takes one hop and one copy for each node. What is passed on besides would be copies of what all have.
const MESH: usize = 0;
/// How often peers are told what is new (gossipsub's heartbeat), so that they ask for what they lack: a pair of nodes that do not reach each
/// other hear of each other's messages by this alone. Rarer, and they hear later; more often, and every node is woken for it.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Peers that are told. In a small network all of them, so that a node of which only one other knows misses nothing; in a large
/// one, 5 in 100: news that six tell six others reaches everybody.
const GOSSIP_PEERS: usize = 6;
const GOSSIP_FACTOR: f64 = 0.05;
/// Of a message's hash, to name it. Another message with the name of one that is under way would keep that from who has not got it: to
/// find one takes 2^64 attempts, and seconds are left for it.
const ID_BYTES: usize = 8;
/// For how many of these moments a message is told of.
const GOSSIP_HISTORY: usize = 1;
/// For how many of them a message can still be asked for, or be given its verdict. Twice the default, for busy machines.
const HISTORY: usize = 10;
/// How long a message may wait to be passed on. The default second loses some on a busy machine; older ones than this are late
/// for the window that they are about.
const FORWARD_WITHIN: Duration = Duration::from_secs(5);
/// One invalid message costs `4 * 1²`, two cost 16, five 100. The ban
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
        .heartbeat_interval(TELL_EVERY)
        .mesh_n(MESH)
        .mesh_n_low(MESH)
        .mesh_n_high(MESH)
        .mesh_outbound_min(MESH)
        .flood_publish(true)
        .gossip_lazy(GOSSIP_PEERS)
        .gossip_factor(GOSSIP_FACTOR)
        .history_length(HISTORY)
        .forward_queue_duration(FORWARD_WITHIN)
        .history_gossip(GOSSIP_HISTORY)
        .iwant_followup_time(PROMISE)
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
    MessageId::new(&keccak256([data]).as_bytes()[..ID_BYTES])
}

/// Longer than the judge could accept a message for, so that no replay gets past the cache and is judged anew.
fn remember(judge: &JudgeConfig) -> Duration {
    judge.max_age.max(judge.max_written_age) + judge.future_tolerance + Duration::from_secs(30)
}

fn score_params() -> PeerScoreParams {
    let topic_params = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        // A little credit for those who bring news.
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
        // For grafts that were refused before: other programs keep trying.
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
            ("mesh", MESH.to_string()),
            ("told what is new", lazy),
            ("told every", format!("{TELL_EVERY:?}")),
            ("messages in a frame", MAX_MESSAGES_PER_FRAME.to_string()),
            ("frame", format!("{} KiB", MAX_FRAME_BYTES / 1024)),
            ("queue to a slow peer", QUEUE.to_string()),
        ] {
            assert_eq!(documented(what), number, "{what}");
        }
    }
}
