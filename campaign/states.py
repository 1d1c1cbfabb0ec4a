"""The states with which rounds begin: a mode and a primary. Each is made once, saved, and put back whenever wanted."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from campaign.both import at_both
from campaign.load import pgbench
from campaign.plan import OTHER, Mode
from secondsite_lab import inside
from secondsite_lab.applied import BIN, SAVED, AppliedLab
from secondsite_lab.errors import LabError
from secondsite_lab.lab import lab_named
from secondsite_lab.topology import host_named

KEYS = {
    Mode.ASYNC: 'mode = "async"',
    Mode.BLOCK: 'mode = "sync"\nwhen_standby_lost = "block"',
    Mode.DEGRADE: 'mode = "sync"\nwhen_standby_lost = "degrade"\ndegrade_after = "3s"',
}
STATUS = ("secondsite", "status", "--json")
OBJECTIVES = 'rpo = "2m"\nrto = "10m"'  # what is proven here is no speed, and a busy machine shall not fail a round
SECONDS = 300
LOOK_SECONDS = 1.0  # a look is a program's start at each host, and hosts that boot need the processor themselves


@dataclass
class States:
    """Of one lab. folder: where the file of each mode is kept.

    saves: off for a few rounds only; each is then made anew, which takes less than saving it.
    """

    lab: AppliedLab
    folder: Path
    saves: bool = True

    def enter(self, mode: Mode, primary: str) -> Path:
        """Put the lab into this state, freshly booted; the service file that goes with it."""
        label, config = f"round-{mode}-{primary}", self._config(mode)
        if self._kept(label):
            self._settled(mode)
            return config
        if mode is Mode.ASYNC and primary == "oslo":
            self.lab.lab("restore", SAVED)
            self.lab.until_ready(SECONDS)
            self._prepare(config)
        elif primary == "oslo":
            self.enter(Mode.ASYNC, "oslo")
            self._secondsite(config, "apply", "--yes")
        else:
            self.enter(mode, OTHER[primary])
            self._secondsite(config, "switchover", "--to", primary, "--yes")
        self._settled(mode)
        if not self.saves:
            return config
        self.lab.lab("save", label)
        self._settled(mode)
        return config

    def _kept(self, label: str) -> bool:
        """Put the lab back where this state was saved."""
        try:
            self.lab.lab("restore", label)
        except subprocess.CalledProcessError:
            return False
        return True

    def _prepare(self, config: Path) -> None:
        """The objectives, services that can be told another time, and pgbench's tables."""
        if self.saves:  # else the lab's own objectives hold, and a clock that jumps restarts the services first
            self._secondsite(config, "apply", "--yes")
            for site in OTHER:
                self.lab.lab("fault", "clock", site, "0")
        dsn = self.lab.info["app"]["dsn"].replace(
            f"@{self.lab.info['dns']['name']}.{self.lab.info['dns']['zone']}", "@192.0.2.11"
        )
        self._world(pgbench(), "-i", "-q", "-s", "1", dsn)

    def _config(self, mode: Mode) -> Path:
        file = self.folder / f"{mode}.toml"
        text = re.sub(r'^mode = "async"$', KEYS[mode], Path(self.lab.info["config"]).read_text(), flags=re.MULTILINE)
        if self.saves:
            text = re.sub(r'^rpo = ".*"\nrto = ".*"$', OBJECTIVES, text, flags=re.MULTILINE)
        file.write_text(text)
        return file

    def _settled(self, mode: Mode) -> None:
        """Both sites READY, and commits wait where they shall."""
        deadline = time.monotonic() + SECONDS
        while not all(at_both(lambda site: self._sound(site, mode)).values()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the lab does not come to {mode}")
            time.sleep(LOOK_SECONDS)

    def _sound(self, site: str, mode: Mode) -> bool:
        try:
            argv = inside.argv(lab_named(self.lab.name), host_named(site), STATUS)
            done = subprocess.run(argv, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
            status = json.loads(done.stdout)
        except (LabError, subprocess.TimeoutExpired, ValueError):
            return False  # it still boots
        database = [one for one in status.get("replicas", ()) if one["name"] == "database"]
        waits = bool(database and database[0]["synchronous"])
        return bool(status.get("ready")) and waits == (mode is not Mode.ASYNC)

    def _secondsite(self, config: Path, *words: str) -> None:
        self._world(str(BIN / "secondsite"), "--config", str(config), *words)

    def _world(self, *argv: str) -> None:
        done = subprocess.run(
            self.lab.world(*argv), capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{argv[0]}: {done.returncode} {done.stderr[-800:]}")
