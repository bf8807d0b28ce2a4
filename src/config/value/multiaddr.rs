//! Where a node listens and where its peers are: multiaddresses of the transports that a node speaks.

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::config::problem::{Wrong, wrong};

/// An address to listen on: an IP address, then TCP. Port 0 lets the system choose.
pub(crate) fn listen_multiaddr(text: &str) -> Result<Multiaddr, Wrong> {
    let address = transport(text, "/ip4/0.0.0.0/tcp/5000")?;
    let is_ip = matches!(address.iter().next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)));
    let names_peer = address.iter().any(|part| matches!(part, Protocol::P2p(_)));
    match (is_ip, names_peer) {
        (true, false) => Ok(address),
        (false, _) => Err(wrong(
            "is no place to listen",
            "begin with /ip4/ or /ip6/; a name is for --peer",
        )),
        (true, true) => Err(wrong(
            "names a peer",
            "drop the part from /p2p/: the node's key says who it is",
        )),
    }
}

/// An address of a peer: a DNS name or IP address, TCP, and perhaps the PeerId that must answer.
pub(crate) fn peer_multiaddr(text: &str) -> Result<Multiaddr, Wrong> {
    let example = "/dns4/node-1.example/tcp/5000 or /ip4/10.0.0.7/tcp/5000/p2p/PEER_ID";
    let address = transport(text, example)?;
    let has_port = address.iter().all(|part| part != Protocol::Tcp(0));
    if has_port {
        Ok(address)
    } else {
        Err(wrong("has no port", "write the port that the peer listens on"))
    }
}

fn transport(text: &str, example: &str) -> Result<Multiaddr, Wrong> {
    let address: Multiaddr = text
        .parse()
        .map_err(|_| wrong("is not a multiaddress", format!("write one like {example}")))?;
    let mut parts: Vec<_> = address.iter().collect();
    parts.pop_if(|last| matches!(last, Protocol::P2p(_)));
    let is_host = |part: &Protocol<'_>| {
        use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6};
        matches!(part, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_))
    };
    let rule = match parts.as_slice() {
        [host, Protocol::Tcp(_)] if is_host(host) => return Ok(address),
        [_, Protocol::Udp(_), Protocol::QuicV1] => "is QUIC, which nodes do not speak",
        _ => "is not a transport that nodes speak",
    };
    Err(wrong(rule, format!("write one like {example}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "/p2p/16Uiu2HAmPLe7Mzm8TsYUubgCAW1aJoeFScxrLj8ppHFivPo97bUZ";

    #[test]
    fn listens_on_tcp_of_an_ip_address() {
        for text in [
            "/ip4/0.0.0.0/tcp/5000",
            "/ip6/::/tcp/5000",
            "/ip4/127.0.0.1/tcp/0",
        ] {
            assert_eq!(listen_multiaddr(text).unwrap().to_string(), text);
        }
        for (text, rule) in [
            ("0.0.0.0:5000", "is not a multiaddress"),
            ("/ip4/0.0.0.0", "is not a transport that nodes speak"),
            ("/ip4/0.0.0.0/udp/5000", "is not a transport that nodes speak"),
            (
                "/ip4/0.0.0.0/udp/5000/quic-v1",
                "is QUIC, which nodes do not speak",
            ),
            ("/ip4/0.0.0.0/tcp/5000/ws", "is not a transport that nodes speak"),
            ("/dns4/localhost/tcp/5000", "is no place to listen"),
        ] {
            assert_eq!(listen_multiaddr(text).unwrap_err().rule, rule, "{text}");
        }
        let named = format!("/ip4/0.0.0.0/tcp/5000{PEER}");
        assert_eq!(listen_multiaddr(&named).unwrap_err().rule, "names a peer");
    }

    #[test]
    fn a_peer_may_be_named_by_dns_and_pinned_to_its_id() {
        for text in ["/dns4/node-1/tcp/5000", "/ip4/10.0.0.7/tcp/5000"] {
            assert_eq!(peer_multiaddr(text).unwrap().to_string(), text);
            assert_eq!(
                peer_multiaddr(&format!("{text}{PEER}")).unwrap().to_string(),
                format!("{text}{PEER}")
            );
        }
        assert_eq!(
            peer_multiaddr("/ip4/10.0.0.7/tcp/0").unwrap_err().rule,
            "has no port"
        );
        assert_eq!(
            peer_multiaddr(PEER).unwrap_err().rule,
            "is not a transport that nodes speak"
        );
    }
}
