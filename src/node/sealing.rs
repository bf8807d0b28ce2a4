//! The network's secret, changed while the node runs.

use quorate_actors::gossip_bridge::BridgeMessage;
use quorate_protocol::Network;
use quorate_supervisor::Mailbox;

use crate::{
    config::gossip::NetworkSecretConfig,
    keys::network_secret,
    watch::{Watched, watch},
};

/// Tells the bridge whenever the file holds other secrets.
pub(super) fn watch_secret(secret: NetworkSecretConfig, network: Network, bridge: Mailbox<BridgeMessage>) {
    let file = Watched {
        what: "network secret",
        path: secret.path,
        current: secret.keyring,
    };
    let load = move |path: &std::path::Path| {
        let loaded = network_secret::load(path, &network);
        loaded
            .map(|loaded| loaded.keyring)
            .map_err(|error| format!("{error}: {}", error.remedy()))
    };
    watch(file, load, move |keyring| {
        bridge.try_send(BridgeMessage::KeyringIs(keyring.clone())).is_ok()
    });
}
