//! For tests only.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

pub mod hostile;
pub mod raw_peer;
