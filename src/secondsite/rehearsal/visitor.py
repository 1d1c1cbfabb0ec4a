"""A plain visitor: reads one URL again and again, resolving its name afresh each time. Standard library only."""

from __future__ import annotations

import argparse
import json
import threading
import time
import urllib.request
from pathlib import Path

INTERVAL_SECONDS = 0.25
PATIENCE_SECONDS = 2.0


def main() -> None:
    """``--url URL --log FILE`` visits until it is ended; ``verify --log FILE`` counts: reading loses nothing."""
    parser = argparse.ArgumentParser(prog="secondsite.rehearsal.visitor", description=__doc__)
    parser.add_argument("act", nargs="?", choices=("visit", "verify"), default="visit")
    parser.add_argument("--url", required=True)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    if options.act == "verify":
        print(json.dumps({"orders_acknowledged": 0, "orders_lost": [], "files_acknowledged": 0, "files_lost": []}))
        return
    number = 0
    while True:
        number += 1
        threading.Thread(target=visit, args=(options.url, options.log, number), daemon=True).start()
        time.sleep(INTERVAL_SECONDS)


def visit(url: str, log: Path, number: int) -> None:
    """One visit, appended to the log as one line."""
    sent_at, error = time.time(), None
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            answer.read()
    except (OSError, ValueError) as failed:
        error = str(failed)
    done = None if error else time.time()
    line = {"kind": "visit", "id": f"visit-{number}", "sent_at": sent_at, "acknowledged_at": done, "error": error}
    with log.open("a") as file:
        file.write(json.dumps({**line, "site_address": None}) + "\n")


if __name__ == "__main__":
    main()
