"""A second standby that replays late on purpose: the last hour can still be looked up after somebody's mistake.

It is a cluster of its own at one site, and follows that site's cluster through the unix socket, whichever role that
has at the moment. So it needs no password, no tunnel and no part in any procedure: when its source is promoted, it
follows onto the new timeline by itself (PostgreSQL manual 27.2.7, cascading replication).
"""
