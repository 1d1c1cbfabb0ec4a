"""Where the program begins: a failover is on its way to the agent before anything heavy is imported."""

import sys


def main() -> int:
    """Run the command of this process's arguments; its exit code."""
    try:
        asked = None
        if sys.argv[1:2] == ["failover"]:
            from secondsite.cli.urgent import ask, hold_back

            asked = ask(sys.argv[1:])
            if asked is not None:
                hold_back(asked.line)
        from secondsite.cli.main import main as run

        return run(asked=asked)
    except KeyboardInterrupt:
        return _interrupted()


def _interrupted() -> int:
    """Ctrl-C before the command itself could hear of it, or while it told so. Another one does not cut it short."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from secondsite.cli.main import interrupted, wants_json

    return interrupted(wants_json(sys.argv[1:]), site=_asked_at())


def _asked_at() -> str | None:
    """The site whose agent may have been asked for a failover already."""
    urgent = sys.modules.get("secondsite.cli.urgent")
    return getattr(urgent, "on_its_way", None)
