//! Nodes behind a name, such as a headless service: every address that it resolves to is one.

use std::{collections::BTreeSet, io, time::Duration};

use libp2p::{Multiaddr, multiaddr::Protocol};

use super::config::DnsPeers;

/// Between two look-ups of a name; as long as a cluster's resolver usually keeps an answer.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// The same while a node is alone: nodes that start together get their names one by one.
const RESOLVE_ALONE: Duration = Duration::from_secs(1);
/// From this failure in a row on it is told: a name that is being made exists by then.
const TOLD_AFTER: u32 = 5;
/// And then at every so many.
const TOLD_EVERY: u32 = 60;
/// Addresses taken from one answer.
const MAX_ADDRESSES: usize = 256;

/// How long until the next look-up.
pub(super) fn pause(has_peers: bool) -> Duration {
    if has_peers { RESOLVE_EVERY } else { RESOLVE_ALONE }
}

/// Whether an operator should hear of so many failures in a row.
pub(super) fn is_news(failures: u32) -> bool {
    failures >= TOLD_AFTER && (failures - TOLD_AFTER).is_multiple_of(TOLD_EVERY)
}

/// Looks a name up. Ends when the system's resolver does: one look-up of a name runs at a time, so they do not pile up.
pub(super) async fn resolve(name: &DnsPeers) -> io::Result<Vec<Multiaddr>> {
    let addresses: BTreeSet<Multiaddr> = tokio::net::lookup_host(name.host_and_port())
        .await?
        .take(MAX_ADDRESSES)
        .map(|address| Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port())))
        .collect();
    Ok(addresses.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_told_of_now_and_then() {
        let told: Vec<u32> = (1..=130).filter(|failures| is_news(*failures)).collect();
        assert_eq!(told, [5, 65, 125]);
    }

    #[tokio::test]
    async fn a_name_becomes_the_addresses_behind_it() {
        let addresses = resolve(&"localhost:5000".parse().unwrap()).await.unwrap();
        assert!(
            addresses.contains(&"/ip4/127.0.0.1/tcp/5000".parse().unwrap()),
            "{addresses:?}"
        );
    }
}
