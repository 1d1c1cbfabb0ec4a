"""Why a server ended, read from its log."""

from __future__ import annotations

from secondsite.database.control import died_of

# PostgreSQL 15, a standby that repeats CREATE TABLESPACE where the folder is missing.
NO_FOLDER = """\
2026-11-22 13:33:27.428 UTC [25789] LOG:  redo starts at 0/3000408
2026-11-22 13:33:27.429 UTC [25789] FATAL:  directory "/srv/ts2" does not exist
2026-11-22 13:33:27.429 UTC [25789] HINT:  Create this directory for the tablespace before restarting the server.
2026-11-22 13:33:27.429 UTC [25789] CONTEXT:  WAL redo at 0/3000778 for Tablespace/CREATE: 16385 "/srv/ts2"
2026-11-22 13:33:27.440 UTC [25775] LOG:  startup process (PID 25789) exited with exit code 1
2026-11-22 13:33:27.440 UTC [25775] LOG:  terminating any other active server processes
2026-11-22 13:33:27.444 UTC [25775] LOG:  shutting down due to startup process failure
2026-11-22 13:33:27.463 UTC [25775] LOG:  database system is shut down
""".splitlines()
STOPPED = """\
2026-11-22 13:33:06.980 UTC [24174] LOG:  received fast shutdown request
2026-11-22 13:33:06.981 UTC [24191] shop@shop FATAL:  terminating connection due to administrator command
2026-11-22 13:33:06.987 UTC [24180] LOG:  shutting down
2026-11-22 13:33:07.064 UTC [24174] LOG:  database system is shut down
""".splitlines()


def test_replay_that_could_not_go_on_is_told_with_its_reason() -> None:
    assert died_of(NO_FOLDER) == 'directory "/srv/ts2" does not exist'


def test_a_panic_is_told() -> None:
    full = [*STOPPED, '2026-11-22 14:00:00 UTC [7] PANIC:  could not write to file "pg_wal/x.7": No space left']
    assert died_of(full) == 'could not write to file "pg_wal/x.7": No space left'


def test_a_server_that_somebody_stopped_has_not_died_and_an_old_death_is_over() -> None:
    assert died_of(STOPPED) == died_of([]) == ""
    assert (
        died_of([*NO_FOLDER, *(f"2026-11-22 14:00:{n:02} UTC [9] LOG:  checkpoint" for n in range(8)), *STOPPED]) == ""
    )
