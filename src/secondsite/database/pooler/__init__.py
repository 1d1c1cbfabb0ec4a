"""PgBouncer in front of the database: let its clients wait, and send them to the primary."""
