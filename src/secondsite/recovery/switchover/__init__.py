"""Switchover: a planned change of roles that loses nothing, with proof."""
