//! quorate's five actors, their messages and their supervisor: IO and scheduling. What is decided is decided in
//! `quorate-protocol`.

mod clock;
pub mod messages;
pub mod price_fetcher;

pub use clock::Clock;
