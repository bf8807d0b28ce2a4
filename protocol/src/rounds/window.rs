//! When the next record may be written.

use crate::{digest::Digest, report::Certificate, time::Instant};

/// The write window of one feed as this node believes it.
#[derive(Debug)]
pub(super) struct Window {
    /// The last record's digest, zeros if there is none: the seed of the ranking.
    pub(super) anchor: Digest,
    /// When the window opens; unknown until the database or a peer has told.
    pub(super) opens: Option<Instant>,
    /// When the database last told.
    pub(super) told_at: Instant,
    /// News of a record that the database has not confirmed yet.
    pub(super) unconfirmed: Option<Unconfirmed>,
}

/// A peer's word that it wrote.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pub(super) certificate: Certificate,
    pub(super) writer: crate::Address,
    /// When to ask the database.
    pub(super) ask_at: Instant,
}

impl Window {
    pub(super) fn unknown() -> Self {
        Self {
            anchor: Digest::new([0; 32]),
            opens: None,
            told_at: Instant::default(),
            unconfirmed: None,
        }
    }

    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.opens.is_some_and(|opens| now < opens)
    }
}
