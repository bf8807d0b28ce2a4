//! The HTTP API.

use std::net::SocketAddr;

use super::{
    problem::wrong,
    reader::Reader,
    setting::{Kind, Setting},
    value::listen_address,
};

const HEADING: &str = "API";

/// `--api-listen`
pub(crate) const API_LISTEN: Setting = Setting {
    name: "api-listen",
    kind: Kind::Value,
    value_name: "IP:PORT",
    default: Some("127.0.0.1:8080"),
    heading: HEADING,
    help: "Where API, health and metrics listen; `off` for none, 0.0.0.0:8080 in a container",
};
/// `--fault-injection`
pub(crate) const FAULT_INJECTION: Setting = Setting {
    name: "fault-injection",
    kind: Kind::Switch,
    value_name: "true|false",
    default: Some("false"),
    heading: HEADING,
    help: "Let the API make actors fail, to see them recover. For tests: only with an API on a loopback address",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 2] = [&API_LISTEN, &FAULT_INJECTION];

/// The HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApiConfig {
    /// `None`: no API.
    pub(crate) listen: Option<SocketAddr>,
    /// Only true on a loopback address.
    pub(crate) fault_injection: bool,
}

/// Reads [`SETTINGS`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<ApiConfig> {
    let listen = reader.value(&API_LISTEN, listen_address);
    let fault_injection = reader.switch(&FAULT_INJECTION);
    let (listen, fault_injection) = (listen?, fault_injection?);
    if fault_injection && !listen.is_some_and(|address| address.ip().is_loopback()) {
        let remedy = "use --api-listen 127.0.0.1:8080, or leave it out";
        reader.reject(
            &FAULT_INJECTION,
            wrong("needs an API on a loopback address", remedy),
        );
    }
    Some(ApiConfig {
        listen,
        fault_injection,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    #[test]
    fn the_api_is_local_unless_it_is_opened() {
        let config = testing::read(&[], read).unwrap().config;
        assert_eq!(
            config,
            ApiConfig {
                listen: "127.0.0.1:8080".parse().ok(),
                fault_injection: false
            }
        );
        assert_eq!(
            testing::read(&[("api-listen", &["off"])], read)
                .unwrap()
                .config
                .listen,
            None
        );
    }

    #[test]
    fn faults_can_be_injected_from_this_machine_only() {
        assert!(
            testing::read(&[("fault-injection", &["true"])], read)
                .unwrap()
                .config
                .fault_injection
        );
        for listen in ["0.0.0.0:8080", "off"] {
            let problems = testing::read(&[("fault-injection", &["true"]), ("api-listen", &[listen])], read)
                .unwrap_err();
            assert_eq!(
                problems,
                [
                    "--fault-injection: \"true\" needs an API on a loopback address: use --api-listen 127.0.0.1:8080, or \
                  leave it out"
                ]
            );
        }
    }
}
