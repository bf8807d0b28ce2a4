//! Keeps actix actors alive one by one.
