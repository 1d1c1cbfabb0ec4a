"""Where the program begins: a failover is on its way to the agent before anything heavy is imported."""

import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command of this process's arguments; its exit code."""
    asked = None
    if sys.argv[1:2] == ["failover"]:
        from secondsite.cli.urgent import ask

        try:
            asked = ask(sys.argv[1:])
        except KeyboardInterrupt:
            return INTERRUPTED
    from secondsite.cli.main import main as run

    return run(asked=asked)
