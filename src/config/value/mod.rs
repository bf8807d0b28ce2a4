//! What a single value may look like. Each parser is pure and says what to write instead.

mod choice;
mod duration;
mod listen_address;
mod moment;
mod multiaddr;
mod number;

pub(crate) use choice::{choice, switch};
pub(crate) use duration::{duration, show_duration};
pub(crate) use listen_address::listen_address;
pub(crate) use moment::moment;
pub(crate) use multiaddr::{listen_multiaddr, peer_multiaddr};
pub(crate) use number::number;

use super::problem::{Wrong, wrong};

/// A value of a protocol type, whose own error says what is expected.
pub(crate) fn parsed<T>(what: &str, text: &str) -> Result<T, Wrong>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse()
        .map_err(|error: T::Err| wrong(format!("is not {what}"), error.to_string()))
}
