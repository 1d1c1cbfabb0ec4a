"""The old primary's part of a switchover: what it does to itself, by local means, when the other site asks for it."""
