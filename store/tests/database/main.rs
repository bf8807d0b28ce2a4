//! What the database promises, asked of a real one: a private server for this process, a fresh database for each test.

// Helpers are no tests in clippy's eyes; here as there a failure is the test's result.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod equivocations;
mod members;
mod migrating;
mod outages;
mod pooler;
mod private_server;
mod racing;
mod reading;
mod roles;
mod rules;
mod schema;
mod secrets;
mod signatures;
mod stolen_password;
mod support;
mod tls;
mod writing;
