-- The connection limit stays, as the role does: they belong to the whole server, and other databases may use them.
DO $$
BEGIN
    EXECUTE format('ALTER ROLE quorate_node IN DATABASE %I RESET statement_timeout', current_database());
    EXECUTE format('ALTER ROLE quorate_node IN DATABASE %I RESET lock_timeout', current_database());
    EXECUTE format(
        'ALTER ROLE quorate_node IN DATABASE %I RESET idle_in_transaction_session_timeout', current_database()
    );
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
END
$$;
