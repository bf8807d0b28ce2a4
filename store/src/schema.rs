// Printed by the diesel CLI (diesel.toml); store/tests/database/schema.rs compares it with a migrated database.

diesel::table! {
    eth_prices (feed, sequence) {
        sequence -> Int8,
        timestamp -> Timestamptz,
        written_at -> Timestamptz,
        next_at -> Timestamptz,
        feed -> Text,
        price -> Numeric,
        observer -> Bytea,
        written_by -> Bytea,
        previous -> Bytea,
        digest -> Bytea,
        network -> Text,
        evidence -> Text,
        signers -> Array<Nullable<Bytea>>,
        signatures -> Array<Nullable<Bytea>>,
        validators -> Array<Nullable<Bool>>,
    }
}

diesel::table! {
    eth_prices_archived (feed) {
        feed -> Text,
        sequence -> Int8,
        digest -> Bytea,
        archived_at -> Timestamptz,
    }
}

diesel::table! {
    eth_prices_lost (digest) {
        sequence -> Int8,
        timestamp -> Timestamptz,
        found_at -> Timestamptz,
        feed -> Text,
        price -> Numeric,
        observer -> Bytea,
        found_by -> Bytea,
        previous -> Bytea,
        digest -> Bytea,
        network -> Text,
        evidence -> Text,
        signers -> Array<Nullable<Bytea>>,
        signatures -> Array<Nullable<Bytea>>,
        validators -> Array<Nullable<Bool>>,
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
        network -> Nullable<Text>,
    }
}

diesel::table! {
    quorate_signer_keys (address) {
        address -> Bytea,
        key -> Bytea,
        xs -> Array<Nullable<Numeric>>,
        ys -> Array<Nullable<Numeric>>,
    }
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}
