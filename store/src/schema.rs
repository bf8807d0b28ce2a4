// Printed by the diesel CLI (diesel.toml); store/tests/database/schema.rs compares it with a migrated database.

pub mod sql_types {
    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "xid8", schema = "pg_catalog"))]
    pub struct Xid8;
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Xid8;

    eth_prices (id) {
        id -> Int8,
        timestamp -> Timestamptz,
        feed -> Text,
        price -> Numeric,
        observer -> Text,
        written_at -> Timestamptz,
        written_by -> Text,
        digest -> Text,
        evidence -> Jsonb,
        network -> Text,
        write_window -> Tstzrange,
        written_in -> Xid8,
    }
}

diesel::table! {
    eth_price_signatures (digest, signer) {
        digest -> Text,
        signer -> Text,
        signature -> Text,
        validator -> Bool,
    }
}

diesel::table! {
    eth_price_equivocations (first_digest, second_digest) {
        observer -> Text,
        feed -> Text,
        network -> Text,
        first_digest -> Text,
        first_timestamp -> Timestamptz,
        first_price -> Numeric,
        first_evidence -> Jsonb,
        first_signature -> Text,
        second_digest -> Text,
        second_timestamp -> Timestamptz,
        second_price -> Numeric,
        second_evidence -> Jsonb,
        second_signature -> Text,
        moment -> Interval,
        found_by -> Text,
        found_at -> Timestamptz,
    }
}

diesel::table! {
    quorate_members (address) {
        address -> Text,
        name -> Text,
        validator -> Bool,
        added_at -> Timestamptz,
        removed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    quorate_settings (only_row) {
        write_interval -> Interval,
        min_signatures -> Int4,
        only_row -> Bool,
        min_validators -> Int4,
    }
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}

diesel::allow_tables_to_appear_in_same_query!(eth_prices, eth_price_signatures);
