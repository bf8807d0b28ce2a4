//! What dialling the peers, and trying this node's own ports, has shown.

use std::{collections::BTreeSet, time::Duration};

use libp2p::PeerId;
use quorate_actors::gossip_bridge::{identity, protocol_version};
use quorate_protocol::{Address, Committee, Members, Network};

use super::{Check, Grade, Verdict, up_to};
use crate::config::members::Names;

/// A co-signer has a turn of 100 ms: who is farther is passed over now and then.
const GOOD: Duration = Duration::from_millis(100);
/// Beyond it a round's exchange of messages takes seconds.
const FAIR: Duration = Duration::from_millis(500);

/// With which key peers were dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum DialledAs {
    /// One that was made for this, and is nobody's.
    Stranger,
    /// This node's.
    Ourselves,
}

/// What came of dialling one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Answer {
    /// Its name was not found.
    NoName(String),
    /// Nobody took the connection.
    NoConnection(String),
    /// Somebody took it, and did not speak as a node does.
    NoHandshake(String),
    /// It proved who it is, and closed the connection.
    Dropped { peer: PeerId, took: Duration },
    /// It introduced itself.
    Spoke {
        peer: PeerId,
        /// The quickest ping, or the handshake.
        round_trip: Duration,
        /// What it calls its protocol: that of its network.
        protocol: String,
        /// Its version.
        agent: String,
    },
}

/// One address that was dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Dialled {
    /// As it was configured, or found behind a name.
    pub(in super::super) address: String,
    /// Whose key is expected there, if that is said.
    pub(in super::super) expected: Option<PeerId>,
    pub(in super::super) answer: Answer,
}

/// Who we are and whom we expect.
#[derive(Debug, Clone)]
pub(in super::super) struct Neighbourhood {
    /// This node's own id; `None`: its key cannot be read.
    pub(in super::super) me: Option<PeerId>,
    pub(in super::super) network: Network,
    pub(in super::super) committee: Committee,
    /// Whether a list of members is named and cannot be used, so that the committee is not the node's.
    pub(in super::super) lacks_members: bool,
    pub(in super::super) names: Names,
    pub(in super::super) dialled_as: DialledAs,
    /// Whether others may be found by multicast.
    pub(in super::super) has_mdns: bool,
}

/// Each peer, then whether they are enough.
pub(in super::super) fn peers(dialled: &[Dialled], we: &Neighbourhood) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = dialled.iter().map(|one| peer(one, we)).collect();
    verdicts.push(enough(dialled, we));
    verdicts
}

fn peer(one: &Dialled, we: &Neighbourhood) -> Verdict {
    let verdict = |grade, measured: String| Verdict::new(Check::Peer, one.address.as_str(), grade, measured);
    let peer = match &one.answer {
        Answer::NoName(reason) => {
            return verdict(Grade::Poor, format!("name not found: {reason}"))
                .advise("correct the name, or see to this machine's resolver");
        }
        Answer::NoConnection(reason) => return verdict(Grade::Poor, format!("no connection: {reason}")),
        Answer::NoHandshake(reason) => {
            return verdict(Grade::Fail, format!("no node: {reason}"))
                .advise("correct the address: something else listens there");
        }
        Answer::Dropped { peer, .. } | Answer::Spoke { peer, .. } => *peer,
    };
    let verdict = |grade, measured: String| verdict(grade, measured).with("peer_id", peer.to_string());
    if we.me == Some(peer) {
        return verdict(Grade::Good, "this node itself".to_owned());
    }
    if let Some(expected) = one.expected.filter(|expected| *expected != peer) {
        return verdict(Grade::Fail, format!("is {peer}, expected {expected}"))
            .advise("correct the PeerId behind /p2p/, or the address: this is another node");
    }
    let Ok(address) = identity::address(&peer) else {
        return verdict(Grade::Fail, format!("{peer} has no key of a node"));
    };
    let verdict = |grade, measured: String| {
        verdict(grade, format!("{}: {measured}", named(address, &we.names)))
            .with("address", address.to_string())
    };
    if !we.committee.members.admit(&address) {
        return verdict(Grade::Fail, format!("{address} is no member"))
            .advise("list it on this node too, or name another peer");
    }
    match &one.answer {
        Answer::Spoke {
            round_trip,
            protocol,
            agent,
            ..
        } => {
            let expected = protocol_version(&we.network);
            if *protocol != expected {
                let measured = format!("speaks {protocol}, this node {expected}");
                return verdict(Grade::Fail, measured).advise("give both the same --network and version");
            }
            let millis = round_trip.as_millis();
            let grade = up_to(*round_trip, [GOOD, FAIR, Duration::MAX]);
            verdict(grade, format!("{agent}, round trip {millis} ms"))
                .advise("a node so far away misses turns: raise the write interval, or choose nearer ones")
                .with("round_trip_us", round_trip.as_micros() as u64)
                .with("agent", agent.as_str())
        }
        Answer::Dropped { took, .. } => {
            let took = took.as_millis();
            let is_closed = we.lacks_members || we.committee.members != Members::Open;
            match we.dialled_as {
                DialledAs::Stranger if is_closed => verdict(
                    Grade::Good,
                    format!("is there, handshake {took} ms, and drops strangers"),
                ),
                DialledAs::Stranger => verdict(
                    Grade::Poor,
                    "drops strangers, while this node's network is open".to_owned(),
                )
                .advise("name the members here too"),
                DialledAs::Ourselves => verdict(Grade::Poor, "does not let this node in".to_owned())
                    .advise("list this node's address in its members file"),
            }
        }
        // Told above.
        Answer::NoName(_) | Answer::NoConnection(_) | Answer::NoHandshake(_) => {
            verdict(Grade::Poor, String::new())
        }
    }
}

fn named(address: Address, names: &Names) -> String {
    match names.get(&address) {
        Some(name) => format!("{} ({name})", address.short()),
        None => address.short(),
    }
}

fn enough(dialled: &[Dialled], we: &Neighbourhood) -> Verdict {
    let required = we.committee.required(0);
    let there: BTreeSet<Address> = (dialled.iter())
        .filter_map(|one| match &one.answer {
            Answer::Dropped { peer, .. } | Answer::Spoke { peer, .. } if we.me != Some(*peer) => Some(peer),
            _ => None,
        })
        .filter_map(|peer| identity::address(peer).ok())
        .filter(|address| we.committee.members.admit(address))
        .collect();
    let count = there.len() + 1;
    let how = match we.dialled_as {
        DialledAs::Stranger => "with a key made for this",
        DialledAs::Ourselves => "with this node's key",
    };
    let measured = format!("{count} of {required} nodes that a record takes, this one among them");
    match dialled {
        [] if required == 1 => Verdict::new(Check::Peers, "", Grade::Good, measured),
        [] if we.has_mdns => Verdict::not_checked(
            Check::Peers,
            "",
            "none is named; multicast finds those of the local network",
        ),
        _ => {
            let grade = if count >= required {
                Grade::Good
            } else {
                Grade::Poor
            };
            Verdict::new(Check::Peers, "", grade, format!("{measured}; dialled {how}"))
        }
    }
    .with("there", count)
    .with("required", required)
}

/// What came of trying to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Port {
    Free,
    /// The system chooses one at each start.
    Any,
    /// A node with our key has it.
    Ours,
    /// Somebody else has it; who, as far as that is known.
    Taken(String),
    /// The system says no.
    Refused(String),
    /// Nothing is to listen.
    Off,
}

/// An address that this node listens on.
pub(in super::super) fn port(check: Check, address: &str, port: &Port) -> Verdict {
    let verdict = |grade, measured: String| Verdict::new(check, address, grade, measured);
    match port {
        Port::Free => verdict(Grade::Good, "free".to_owned()),
        Port::Ours => verdict(Grade::Good, "this node runs and has it".to_owned()),
        Port::Off => verdict(Grade::Good, "off".to_owned()),
        Port::Any => verdict(
            Grade::Fair,
            "the system chooses another one at each start".to_owned(),
        )
        .advise("name a port, so that peers can be told it"),
        Port::Taken(who) => verdict(Grade::Fail, format!("taken by {who}")),
        Port::Refused(reason) => verdict(Grade::Fail, reason.clone())
            .advise("use an address of this machine, or 0.0.0.0 for all, and a port above 1023"),
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use quorate_protocol::QuorumRule;

    use super::*;

    fn peer_id() -> PeerId {
        Keypair::generate_secp256k1().public().to_peer_id()
    }

    fn we(members: &[PeerId]) -> Neighbourhood {
        let list = members
            .iter()
            .map(|peer| identity::address(peer).unwrap())
            .collect();
        Neighbourhood {
            me: Some(peer_id()),
            network: "local".parse().unwrap(),
            committee: Committee {
                members: if members.is_empty() {
                    Members::Open
                } else {
                    Members::Closed(list)
                },
                rule: QuorumRule::at_least(2),
            },
            lacks_members: false,
            names: Names::new(),
            dialled_as: DialledAs::Stranger,
            has_mdns: false,
        }
    }

    fn spoke(peer: PeerId, millis: u64, protocol: &str) -> Dialled {
        let (round_trip, protocol) = (Duration::from_millis(millis), protocol.to_owned());
        dialled(Answer::Spoke {
            peer,
            round_trip,
            protocol,
            agent: "quorate/0.1.0".to_owned(),
        })
    }

    fn dropped(peer: PeerId) -> Dialled {
        dialled(Answer::Dropped {
            peer,
            took: Duration::from_millis(3),
        })
    }

    fn dialled(answer: Answer) -> Dialled {
        Dialled {
            address: "/ip4/10.0.0.7/tcp/5000".to_owned(),
            expected: None,
            answer,
        }
    }

    fn grade(one: Dialled, we: &Neighbourhood) -> Grade {
        peers(&[one], we)[0].grade
    }

    #[test]
    fn who_speaks_is_graded_by_its_round_trip() {
        let open = we(&[]);
        let protocol = protocol_version(&open.network);
        let with = |millis| grade(spoke(peer_id(), millis, &protocol), &open);
        assert_eq!(
            [with(100), with(500), with(501)],
            [Grade::Good, Grade::Fair, Grade::Poor]
        );
        assert_eq!(grade(spoke(peer_id(), 1, "quorate/1/other"), &open), Grade::Fail);
        assert_eq!(
            grade(spoke(open.me.unwrap(), 1, ""), &open),
            Grade::Good,
            "ourselves"
        );
    }

    #[test]
    fn another_identity_fails_and_so_does_a_stranger() {
        let (member, stranger) = (peer_id(), peer_id());
        let closed = we(&[member]);
        assert_eq!(grade(dropped(member), &closed), Grade::Good);
        assert_eq!(grade(dropped(stranger), &closed), Grade::Fail);
        let pinned = Dialled {
            expected: Some(stranger),
            ..dropped(member)
        };
        assert_eq!(grade(pinned, &closed), Grade::Fail);
    }

    #[test]
    fn to_drop_strangers_is_right_in_a_closed_network_only_and_to_drop_us_never() {
        let member = peer_id();
        assert_eq!(grade(dropped(member), &we(&[member])), Grade::Good);
        assert_eq!(grade(dropped(member), &we(&[])), Grade::Poor);
        let unknown = Neighbourhood {
            lacks_members: true,
            ..we(&[])
        };
        assert_eq!(grade(dropped(member), &unknown), Grade::Good);
        let as_ourselves = Neighbourhood {
            dialled_as: DialledAs::Ourselves,
            ..we(&[member])
        };
        assert_eq!(grade(dropped(member), &as_ourselves), Grade::Poor);
    }

    #[test]
    fn who_is_not_there_may_be_starting_and_what_is_no_node_is_a_wrong_address() {
        let reason = || "x".to_owned();
        assert_eq!(grade(dialled(Answer::NoName(reason())), &we(&[])), Grade::Poor);
        assert_eq!(
            grade(dialled(Answer::NoConnection(reason())), &we(&[])),
            Grade::Poor
        );
        assert_eq!(
            grade(dialled(Answer::NoHandshake(reason())), &we(&[])),
            Grade::Fail
        );
    }

    #[test]
    fn distinct_nodes_make_a_quorum() {
        let members = [peer_id(), peer_id()];
        let mut closed = we(&members);
        closed.committee.rule = QuorumRule::at_least(3);
        let grade = |dialled: &[Dialled]| peers(dialled, &closed).pop().unwrap().grade;
        assert_eq!(grade(&members.map(dropped)), Grade::Good);
        assert_eq!(grade(&[dropped(members[0]), dropped(members[0])]), Grade::Poor);
        let nobody = |has_mdns| {
            peers(
                &[],
                &Neighbourhood {
                    has_mdns,
                    ..closed.clone()
                },
            )[0]
            .grade
        };
        assert_eq!([nobody(true), nobody(false)], [Grade::NotChecked, Grade::Poor]);
    }

    #[test]
    fn a_port_is_free_ours_or_somebody_elses() {
        let grade = |state| port(Check::Listen, "", &state).grade;
        assert_eq!(
            [grade(Port::Free), grade(Port::Ours), grade(Port::Any)],
            [Grade::Good, Grade::Good, Grade::Fair]
        );
        assert_eq!(
            [grade(Port::Taken("x".into())), grade(Port::Refused("x".into()))],
            [Grade::Fail; 2]
        );
    }
}
