"""Start a long-lived process of the lab: `python -I -S enter.py RECORD LOG CGROUP... -- PROGRAM ARGUMENT...`

Runs as a program of its own, between the fork and the exec: it joins the cgroups it is given and writes down who it is
*before* it becomes the program. So whoever cleans up finds the process either in its cgroup or not started at all, even
when the run that wanted it was killed in between (then the cgroup is gone, and joining it fails).
"""

import json
import os
import sys
from pathlib import Path


def start_ticks(pid: str | int) -> int:
    """When a process started, in clock ticks since boot: with the pid, its identity."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def main() -> None:
    """Join, record, become."""
    record, log, *rest = sys.argv[1:]
    split = rest.index("--")
    for cgroup in rest[:split]:
        (Path(cgroup) / "cgroup.procs").write_text(str(os.getpid()))
    temporary = Path(record + ".new")
    temporary.write_text(json.dumps({"pid": os.getpid(), "started": start_ticks("self")}))
    temporary.rename(record)
    if log != "-":
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
    command = rest[split + 1 :]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
