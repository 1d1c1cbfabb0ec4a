"""Disaster failover: the standby takes over because the primary is gone."""
