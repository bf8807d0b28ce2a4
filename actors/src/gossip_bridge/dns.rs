//! Nodes behind a name, such as a headless service: every address that it resolves to is one.

use std::{collections::BTreeSet, io, time::Duration};

use libp2p::{Multiaddr, multiaddr::Protocol};

use super::config::DnsPeers;

/// Between two look-ups of a name; as long as a cluster's resolver usually keeps an answer.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// Addresses taken from one answer.
const MAX_ADDRESSES: usize = 256;

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

    #[tokio::test]
    async fn a_name_becomes_the_addresses_behind_it() {
        let addresses = resolve(&"localhost:5000".parse().unwrap()).await.unwrap();
        assert!(
            addresses.contains(&"/ip4/127.0.0.1/tcp/5000".parse().unwrap()),
            "{addresses:?}"
        );
    }
}
