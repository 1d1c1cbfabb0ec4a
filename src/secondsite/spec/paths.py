"""Where secondsite keeps its things on a host. One list, so that nothing else invents a path."""

from __future__ import annotations

from pathlib import Path

from secondsite.spec import names

ETC = Path("/etc/secondsite")
CONFIG = ETC / "secondsite.toml"  # the file, as applied
SITE = Path(names.SITE)  # one line: the name of the site this host is
PEER_TOKEN = ETC / "peer.token"  # shared secret of the two agents, root only
PEER_KEY = ETC / "peer.pub"  # the peer's WireGuard public key
RSYNCD_CONF = ETC / "rsyncd.conf"
WATCH_CONF = ETC / "watch.json"  # what the watcher of file sets needs of the file, and no more

STATE = Path("/var/lib/secondsite")
SAMPLES = STATE / "samples.sqlite"
LAST_PRIMARY = STATE / "last-primary.json"  # last known position of the primary, kept at the standby
JOURNAL = STATE / "journal"  # one hash-chained file a procedure
REPORTS = STATE / "reports"
LOST = STATE / "database" / "lost"  # what a former primary had and its successor never received; holds users' data
VERIFIED = STATE / "verified.json"  # what verify found last, check by check, at the site that was the standby
GUARD_VERDICT = STATE / "guard.json"
FENCED = STATE / "fenced"  # present: another site's failover has stopped this one; its text says which
QUARANTINE = STATE / "quarantine"  # present: the peer is cut off from everything but the guard's question
UNCOVERED = (
    STATE / "uncovered"
)  # present: in mode sync commits do not wait for the lost standby; unix seconds since when
ASIDE = STATE / "aside"  # what was moved out of the way, never deleted

RUN = Path("/run/secondsite")
RSYNCD_PID = Path("/run/secondsite-files.pid")
SOCKET = Path(names.SOCKET)
ACTIVE = RUN / "active"  # exists only while this host may accept writes; gone after a reboot
ADMITTED = RUN / "admitted"  # the next start of the database was allowed already: the guard asks nobody
TAKING_OVER = RUN / "taking-over"  # present: a failover to this host has begun to fence, and has not promoted yet
POOLER_PAUSED = (
    RUN / "pooler-paused"
)  # present: we let PgBouncer's clients wait; gone with PgBouncer's own memory of it
LOCK = RUN / "procedure.lock"
DIRTY = Path("/run/secondsite-watch")  # the watcher's journals; a boot clears them, as it clears the kernel's queue

CACHE = Path("/var/cache/secondsite")  # the program as a plan brought it, before an apply installs it
PROGRAM = Path("/opt/secondsite")  # releases/<id>/ and current -> releases/<id>
COMMAND = Path("/usr/local/bin/secondsite")
