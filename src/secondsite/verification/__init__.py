"""``verify``: is what lies at the standby the same as at the primary? Runs at the standby, asks the primary's agent."""
