//! Opening the addresses to listen on, more than once if need be: after a restart, the old socket may linger for a moment.

use std::{collections::HashMap, io};

use libp2p::{Multiaddr, TransportError, core::transport::ListenerId};

/// One attempt a tick of 250 ms: ten seconds.
const ATTEMPTS: u32 = 40;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen: address={address} reason=\"{reason}\" remedy=\"{remedy}\"")]
pub(super) struct ListenFailure {
    address: Multiaddr,
    reason: String,
    remedy: &'static str,
}

#[derive(Debug)]
pub(super) struct Listeners {
    /// Not open yet, and how often it was tried.
    waiting: Vec<(Multiaddr, u32)>,
    open: HashMap<ListenerId, Multiaddr>,
}

type Opened = Result<ListenerId, TransportError<io::Error>>;

impl Listeners {
    pub(super) fn new(addresses: Vec<Multiaddr>) -> Self {
        Self {
            waiting: addresses.into_iter().map(|address| (address, 0)).collect(),
            open: HashMap::new(),
        }
    }

    /// Tries what is not open. An error is for good: the address is wrong, or was tried often enough.
    pub(super) fn open(&mut self, mut open: impl FnMut(Multiaddr) -> Opened) -> Result<(), ListenFailure> {
        for (address, attempts) in std::mem::take(&mut self.waiting) {
            match open(address.clone()) {
                Ok(id) => {
                    self.open.insert(id, address);
                }
                Err(error) if attempts + 1 >= ATTEMPTS || !may_pass(&error) => {
                    return Err(explain(address, &error));
                }
                Err(error) => {
                    if attempts == 0 {
                        let error = explain(address.clone(), &error);
                        log::warn!("{error} retry=\"for 10 s\"");
                    }
                    self.waiting.push((address, attempts + 1));
                }
            }
        }
        Ok(())
    }

    /// Whether all are open.
    pub(super) fn are_open(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A listener closed by itself: it is to be opened again.
    pub(super) fn closed(&mut self, id: ListenerId) {
        if let Some(address) = self.open.remove(&id) {
            self.waiting.push((address, 0));
        }
    }
}

fn may_pass(error: &TransportError<io::Error>) -> bool {
    match error {
        TransportError::MultiaddrNotSupported(_) => false,
        TransportError::Other(error) => error.kind() != io::ErrorKind::PermissionDenied,
    }
}

fn explain(address: Multiaddr, error: &TransportError<io::Error>) -> ListenFailure {
    let (reason, remedy) = match error {
        TransportError::MultiaddrNotSupported(_) => {
            ("not tcp".to_owned(), "use an address like /ip4/0.0.0.0/tcp/5000")
        }
        TransportError::Other(error) => {
            // libp2p wraps the system's error; its text is the innermost.
            let mut inner: &dyn std::error::Error = error;
            while let Some(source) = inner.source() {
                inner = source;
            }
            let text = inner.to_string();
            let remedy = if text.contains("in use") {
                "another process has the port: stop it, or listen on another port"
            } else if text.contains("ermission") {
                "use a port above 1023, or give the process the right to this one"
            } else if text.contains("assign") {
                "use an address of this machine, or 0.0.0.0 for all of them"
            } else {
                "check the address and the network of this machine"
            };
            (text, remedy)
        }
    };
    ListenFailure {
        address,
        reason,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn in_use() -> Opened {
        Err(TransportError::Other(io::Error::from(io::ErrorKind::AddrInUse)))
    }

    #[test]
    fn an_address_that_is_still_in_use_is_tried_again() {
        let mut listeners = Listeners::new(vec![address("/ip4/127.0.0.1/tcp/5000")]);
        for _ in 0..10 {
            assert!(listeners.open(|_| in_use()).is_ok());
        }
        let mut opened = 0;
        for _ in 0..2 {
            let result = listeners.open(|_| {
                opened += 1;
                Ok(ListenerId::next())
            });
            assert!(result.is_ok());
        }
        assert_eq!(opened, 1, "and once open, left alone");
    }

    #[test]
    fn a_listener_that_closed_is_opened_again() {
        let mut listeners = Listeners::new(vec![address("/ip4/127.0.0.1/tcp/5000")]);
        let id = ListenerId::next();
        assert!(listeners.open(|_| Ok(id)).is_ok());
        listeners.closed(id);
        let mut opened = 0;
        let result = listeners.open(|_| {
            opened += 1;
            Ok(ListenerId::next())
        });
        assert!(result.is_ok() && opened == 1);
    }

    #[test]
    fn the_error_names_the_address_the_cause_and_a_remedy() {
        let mut listeners = Listeners::new(vec![address("/ip4/127.0.0.1/tcp/5000")]);
        let error = (0..ATTEMPTS)
            .find_map(|_| listeners.open(|_| in_use()).err())
            .unwrap();
        let text = error.to_string();
        for part in ["/ip4/127.0.0.1/tcp/5000", "in use", "listen on another port"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn an_address_of_another_kind_is_refused_at_once() {
        let mut listeners = Listeners::new(vec![address("/ip4/127.0.0.1/udp/5000")]);
        let error = listeners
            .open(|address| Err(TransportError::MultiaddrNotSupported(address)))
            .unwrap_err();
        assert!(error.to_string().contains("/ip4/0.0.0.0/tcp/5000"), "{error}");
    }
}
