//! Why the database has not answered: what diesel's errors mean, and what callers are told.

use diesel::result::{DatabaseErrorKind, Error};

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
    #[error("{record} in the database is damaged: {reason}")]
    Damaged {
        /// Which row: a record's number and feed, a proof's digest, a member's address.
        record: String,
        /// Which column, and what is wrong with it.
        reason: String,
    },
}

/// What an error of diesel's means: a conflict, a passing trouble, or a refusal for good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Another row stands in the way: the same number, or the same write window.
    Conflict,
    /// The same statement may succeed later.
    Passing(String),
    /// The same statement will fail again.
    Refusal(String),
    /// Diesel does not tell the error's code, and its text comes in the server's language. Time-outs, deadlocks and a
    /// shutting-down server are among these, but missing privileges too: the database must be asked.
    Unclear(String),
}

/// Sorts an error of diesel's by its kind.
pub(crate) fn classify(error: &Error) -> Failure {
    use DatabaseErrorKind as Kind;
    let text = one_line(error);
    match error {
        Error::DatabaseError(kind, _) => match kind {
            Kind::UniqueViolation | Kind::ExclusionViolation => Failure::Conflict,
            Kind::CheckViolation
            | Kind::NotNullViolation
            | Kind::ForeignKeyViolation
            | Kind::RestrictViolation => Failure::Refusal(text),
            // Read-only: a primary that has just become a standby.
            Kind::SerializationFailure
            | Kind::ReadOnlyTransaction
            | Kind::UnableToSendCommand
            | Kind::ClosedConnection => Failure::Passing(text),
            _ => Failure::Unclear(text),
        },
        Error::BrokenTransactionManager | Error::RollbackErrorOnCommit { .. } => Failure::Passing(text),
        _ => Failure::Refusal(text),
    }
}

/// The message and the constraint. Not the details: they hold the whole row.
pub(crate) fn one_line(error: &Error) -> String {
    let text = match error {
        Error::DatabaseError(_, information) => match information.constraint_name() {
            Some(constraint) if !information.message().contains(constraint) => {
                format!("{} ({constraint})", information.message())
            }
            _ => information.message().to_owned(),
        },
        other => other.to_string(),
    };
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: DatabaseErrorKind) -> Error {
        Error::DatabaseError(kind, Box::new("text".to_owned()))
    }

    #[test]
    fn conflicts_are_not_failures() {
        assert_eq!(
            classify(&error(DatabaseErrorKind::UniqueViolation)),
            Failure::Conflict
        );
        assert_eq!(
            classify(&error(DatabaseErrorKind::ExclusionViolation)),
            Failure::Conflict
        );
    }

    #[test]
    fn what_will_fail_again_is_a_refusal_and_what_may_not_passes() {
        let text = || "text".to_owned();
        assert_eq!(
            classify(&error(DatabaseErrorKind::CheckViolation)),
            Failure::Refusal(text())
        );
        assert_eq!(
            classify(&error(DatabaseErrorKind::SerializationFailure)),
            Failure::Passing(text())
        );
        assert_eq!(
            classify(&error(DatabaseErrorKind::UnableToSendCommand)),
            Failure::Passing(text())
        );
        assert_eq!(
            classify(&error(DatabaseErrorKind::Unknown)),
            Failure::Unclear(text())
        );
    }
}
