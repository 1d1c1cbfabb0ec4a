"""The operator: gives commands on a host's console, is interrupted, and comes back as the documentation says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign.both import at_both
from campaign.checks import Procedure
from campaign.plan import OTHER, Act, Plan, WayBack
from secondsite_lab import inside
from secondsite_lab.applied import BIN, AppliedLab
from secondsite_lab.errors import LabError
from secondsite_lab.lab import lab_named
from secondsite_lab.topology import host_named

COMMAND_SECONDS = 180.0
CONVERGE_SECONDS = 100.0  # since the operator's last deed
LOOK_SECONDS = 1.0
APPLY_AFTER = 25.0  # seconds of waiting for things to mend themselves
RESUME_EVERY = 10.0  # a resume that came before the other site was up again is given once more
MOST_DEEDS = 6
AGENT = "secondsite-agent.service"


@dataclass
class Operator:
    """One who works on a lab; remembers what was done. config: the file of this round."""

    lab: AppliedLab
    config: Path
    plan: Plan
    done: list[Procedure] = field(default_factory=list)
    deeds: list[str] = field(default_factory=list)

    def react(self) -> None:
        """What the plan says, and what the message of an interrupted procedure says: the same with ``--resume``."""
        reaction, site = self.plan.reaction, self.plan.standby
        words = [reaction.act.value, "--to", site, "--yes", "--json"]
        if reaction.act is Act.FAILOVER and reaction.accept:
            words.append("--accept-unconfirmed-fence")
        ran = self._give(site, words, reaction.death, reaction.death_after)
        if ran.code == 4 or (reaction.death != "none" and ran.code != 0):
            self._resume(site, reaction.act.value)

    def _resume(self, site: str, act: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if not self._busy(site):
                if unfinished_at(self.status(site), site, act):
                    self._give(site, [act, "--resume", "--yes", "--json"])
                return
            time.sleep(0.5)

    def _give(self, site: str, words: list[str], death: str = "none", after: float = 0.0) -> Procedure:
        given = time.monotonic()
        try:
            argv = self._console(site, ["secondsite", *words])
        except LabError:
            return self._note(words, site, given, 255, "")  # the host is off: nobody can log in
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        if death != "none":
            self._interrupt(child, site, death, after)
        try:
            out, err = child.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            self.deeds.append(f"{words[0]} did not end in {COMMAND_SECONDS:g} s")
        return self._note(words, site, given, child.returncode, out, err)

    def _interrupt(self, child: subprocess.Popen[str], site: str, death: str, after: float) -> None:
        try:
            child.wait(timeout=after)
        except subprocess.TimeoutExpired:
            if death == "ctrl-c":
                os.killpg(child.pid, signal.SIGINT)
            else:
                self.run(site, ["systemctl", "kill", "--signal=KILL", AGENT])

    def _note(self, words: list[str], site: str, given: float, code: int, out: str, err: str = "") -> Procedure:
        try:
            document = json.loads(out)
        except ValueError:
            document = {}
        ran = Procedure(words[0], site, given, time.monotonic(), code, document)
        self.done.append(ran)
        shown = " ".join(word for word in words if word not in ("--yes", "--json"))
        self.deeds.append(f"{shown}: {ran.outcome}" + (f" ({err.strip()[-300:]})" if code not in (0, 1) else ""))
        return ran

    def come_back(self) -> dict[str, dict[str, Any]]:
        """Until both sites are READY again, or patience is over; the last look at both."""
        began, last, tried = time.monotonic(), time.monotonic(), set[str]()
        while True:
            seen = at_both(self.status)
            if all(_sound(one) for one in seen.values()) or time.monotonic() - last > CONVERGE_SECONDS:
                return seen
            before = len(self.deeds)
            self._mend(seen, time.monotonic() - began, tried)
            if len(self.deeds) > before:
                last = time.monotonic()
            time.sleep(LOOK_SECONDS)

    def _mend(self, seen: dict[str, dict[str, Any]], waited: float, tried: set[str]) -> None:
        for site in OTHER:
            if f"start {site}" not in tried and waited > 2 and self._database_down(site):
                tried.add(f"start {site}")
                self.deeds.append(f"systemctl start postgresql at {site}")
                self.run(site, ["systemctl", "start", "postgresql@15-main.service"], timeout=60)
        for site, act in ((site, act) for site in OTHER for act in ("failover", "switchover")):
            again = f"resume {act} {waited // RESUME_EVERY:.0f}"
            if again not in tried and len(tried) < MOST_DEEDS and unfinished_at(seen[site], site, act):
                tried.add(again)
                self._give(site, [act, "--resume", "--yes", "--json"])  # with the peer back, no consent is missing
                return
        old = self._former(seen)
        if old is not None and "way back" not in tried and waited > 2:
            tried.add("way back")
            back = self.plan.way_back
            words = ["failback"] if back is WayBack.FAILBACK else ["apply", "--replace-standby", old]
            self._from_world(*words)
        elif waited > APPLY_AFTER and "apply" not in tried:
            tried.add("apply")
            self._from_world("apply")

    def _former(self, seen: dict[str, dict[str, Any]]) -> str | None:
        """The site that was primary when the other one was promoted over it, and does not follow yet."""
        sites = [one.get("sites", {}) for one in seen.values()]
        primary = {name for one in sites for name, site in one.items() if site.get("role") == "primary"}
        if len(primary) != 1:
            return None
        old = OTHER[primary.copy().pop()]
        promoted = old == self.plan.primary
        streaming = any(one.get(old, {}).get("database", {}).get("state") == "streaming" for one in sites)
        return old if promoted and not streaming else None

    def _from_world(self, *words: str) -> None:
        given = time.monotonic()
        argv = self.lab.world(str(BIN / "secondsite"), "--config", str(self.config), *words, "--yes", "--json")
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL
            )
            self._note(list(words), "world", given, done.returncode, done.stdout, done.stderr)
        except subprocess.TimeoutExpired:
            self.deeds.append(f"{' '.join(words)} did not end in {COMMAND_SECONDS:g} s")

    def _console(self, site: str, command: list[str], user: str = "root") -> list[str]:
        return inside.argv(lab_named(self.lab.name), host_named(site), command, user)

    def run(self, site: str, command: list[str], *, user: str = "root", timeout: float = 20) -> str:
        """What a command on a host's console prints; nothing where the host is off or does not answer."""
        try:
            argv = self._console(site, command, user)
            return subprocess.run(
                argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
            ).stdout
        except (LabError, subprocess.TimeoutExpired):
            return ""

    def journals_whole(self, site: str) -> bool:
        """Whether every record of every journal at a site is proven by the one behind it."""
        try:
            told = json.loads(self.run(site, ["secondsite", "journal", "--json"]))
        except ValueError:
            return False
        return all(one["intact"] for one in told["journals"])

    def status(self, site: str) -> dict[str, Any]:
        """``secondsite status --json`` on a host; {} where there is none."""
        try:
            return dict(json.loads(self.run(site, ["secondsite", "status", "--json"])))
        except ValueError:
            return {}

    def _database_down(self, site: str) -> bool:
        return stopped(self.run(site, ["pg_lsclusters", "-h"]))

    def _busy(self, site: str) -> bool:
        return self.run(site, ["systemctl", "is-active", AGENT]).strip() != "active"


def stopped(listed: str) -> bool:
    """Pure: does ``pg_lsclusters -h`` say that the cluster does not run? One of a standby is ``down,recovery``."""
    return [status.split(",")[0] for status in listed.split()[3:4]] == ["down"]


def unfinished_at(status: dict[str, Any], site: str, act: str) -> bool:
    """Pure: does status say that this procedure is unfinished at this site? Each host tells it of both."""
    found = [one for one in status.get("findings", ()) if one["check"] == "unfinished"]
    return any(one["site"] == site and f"secondsite {act} --resume" in one["hint"] for one in found)


def _sound(status: dict[str, Any]) -> bool:
    from campaign.checks import MUST_BE_OK

    return bool(status.get("ready")) and all(one["ok"] for one in status["checks"] if one["check"] in MUST_BE_OK)
