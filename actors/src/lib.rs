//! quorate's five actors, their messages and their supervisor: IO and scheduling. What is decided is decided in
//! `quorate-protocol`.

mod clock;
pub mod gossip_bridge;
pub mod messages;

pub use clock::Clock;
