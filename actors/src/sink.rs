//! The way to an actor, as this crate's modules name it until they name the supervisor's.

pub use quorate_supervisor::Sink;
pub(crate) use quorate_supervisor::pass_on;
