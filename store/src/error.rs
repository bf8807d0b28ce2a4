//! Why the database has not answered a question.

/// What a failed read says about the database or about us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or cannot answer now. Passes, or an operator must act; ask again later.
    #[error("the database is unavailable: {reason}")]
    Unavailable {
        /// What went wrong, with its causes.
        reason: String,
    },
    /// The schema, or a part of it, is missing. The owner must act.
    #[error(
        "the database lacks {missing}: run `quorate migrate` with this version of quorate as the database's owner"
    )]
    NotMigrated {
        /// What is missing.
        missing: String,
    },
    /// The schema is of a later version than this program.
    #[error(
        "the database's schema is newer than this program, it has migration {version}: run a newer version of quorate"
    )]
    SchemaNewer {
        /// A migration that this program does not know.
        version: String,
    },
    /// The database understood and said no, and will say no again: most likely the wrong role.
    #[error("the database refuses: {reason}")]
    Refused {
        /// The database's words.
        reason: String,
    },
    /// A row that no node can have written: somebody with the owner's rights changed it.
    #[error("record {digest} in the database is damaged: {reason}")]
    Damaged {
        /// The row's digest (or a member's address), as it stands there.
        digest: String,
        /// Which column, and what is wrong with it.
        reason: String,
    },
}
