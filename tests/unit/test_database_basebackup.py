"""What pg_basebackup says."""

from __future__ import annotations

from secondsite.database.basebackup import last_line, progress, unreached

LOG = (
    "waiting for checkpoint\n    0/30796 kB (0%), 0/1 tablespace\r 5263/30796 kB (17%), 0/1 tablespace\n"
    "pg_basebackup: error: could not receive data from WAL stream: server closed the connection\n"
    'pg_basebackup: removing data directory "/var/lib/postgresql/15/main.secondsite-seed"\n'
)


def test_progress_is_in_bytes_and_the_newest() -> None:
    assert progress(LOG) == (5263 * 1024, 30796 * 1024)
    assert progress("waiting for checkpoint") is None


def test_the_error_is_told_and_not_the_tidying_after_it() -> None:
    assert "server closed the connection" in last_line(LOG)
    assert last_line("waiting for checkpoint\n 1/2 kB (50%), 0/1 tablespace") == "waiting for checkpoint"
    assert last_line("") == "it said nothing"


def test_only_a_primary_that_nobody_reached_is_asked_again() -> None:
    never = 'pg_basebackup: error: connection to server at "10.10.0.1", port 5432 failed: timeout expired\n'
    assert unreached(never)
    assert not unreached("0/30796 kB (0%), 0/1 tablespace\r" + never), "what was half copied is a person's to look at"
    refused = 'connection to server at "10.10.0.1", port 5432 failed: FATAL:  no pg_hba.conf entry for replication\n'
    assert not unreached(f"pg_basebackup: error: {refused}")
    assert not unreached("")
