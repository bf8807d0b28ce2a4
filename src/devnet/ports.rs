//! Ports for the nodes.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

/// `count` ports from `base` on, or free ones. A free port could be taken before its node listens there; then the node
/// says so and is started again.
pub(super) fn choose(base: Option<u16>, count: usize) -> io::Result<Vec<u16>> {
    if let Some(base) = base {
        return Ok((base..).take(count).collect());
    }
    // All are held until the last is chosen, so that none is chosen twice.
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<io::Result<_>>()?;
    held.iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect()
}
