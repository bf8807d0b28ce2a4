//! Where the HTTP API listens, if it does.

use std::net::SocketAddr;

use crate::config::problem::{Wrong, wrong};

/// An IP address and a port, or `off`.
pub(crate) fn listen_address(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        wrong(
            "is not an address to listen on",
            "write IP:PORT, like 127.0.0.1:8080, or off",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_off() {
        assert_eq!(listen_address("off"), Ok(None));
        assert_eq!(
            listen_address("[::1]:80").unwrap().unwrap().to_string(),
            "[::1]:80"
        );
        for text in ["", "8080", ":8080", "localhost:8080", "127.0.0.1", "none"] {
            assert!(listen_address(text).is_err(), "{text:?}");
        }
    }
}
