"""One thing is killed at one step of one procedure, and what becomes of it.

The procedure is halted (``SECONDSITE_HALT_AT``) when its journal has said that the step begins, so that the kill
comes exactly then; it is let go on, and taken up as it says itself. A new step is covered without anyone remembering:
the cases are made from the lists of steps.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from secondsite.recovery.acts.poolers import SendClientsHere
from secondsite.recovery.failover.isolate import FenceAgain
from secondsite.recovery.failover.plan import STEPS as FAILOVER
from secondsite.recovery.switchover.attach import CommitMode
from secondsite.recovery.switchover.plan import STEPS as SWITCHOVER
from secondsite.recovery.switchover.poolers import SendClients
from secondsite_lab.applied import BIN, AppliedLab

OTHER = {"oslo": "bergen", "bergen": "oslo"}
AGENT = "secondsite-agent.service"
HALTED_SECONDS = 90
ENDED_SECONDS = 240
GO_ON_SECONDS = 150
# The longest that a case waits before it says itself what is wrong: what is said last may begin just before its end.
CASE_SECONDS = HALTED_SECONDS + ENDED_SECONDS + GO_ON_SECONDS + ENDED_SECONDS
WRITTEN_SECONDS = 30
WRITTEN_ROWS = 10
REJOIN = "rejoin"  # of a failback: an apply, which has no journal; killed when its first change is told

LIVING = "failover from a living primary"
STEPS = {"failover": FAILOVER, LIVING: FAILOVER, "switchover": SWITCHOVER, "failback": SWITCHOVER}

PLAIN, POOLED, SYNC = "plain", "with PgBouncer", "in mode sync"
# What only begins where hosts are set up for it: each of these steps has its cases on such a lab.
ONLY = {POOLED: (SendClientsHere, SendClients), SYNC: (CommitMode,)}
# Never begun: the fence of a primary that lives is confirmed, and is not asked for again.
IDLE = {LIVING: (FenceAgain,)}

# agent: of the site that takes over, it carries the procedure out. other agent: of the site that is left. postmaster:
# of the standby, which is to take over. session: the SSH session that the command came through, on the host. command:
# what the operator has started, on the operator's machine. Without an agent the host's end of the session carries the
# procedure out: then that process is killed, or the session above it.
ALONE = ("process without agent", "session without agent")
KINDS = ("agent", "other agent", "postmaster", "session", "command", *ALONE)
END_OF_SESSION = '$(pgrep -of "^[^ ]*python.* [^ ]*secondsite carry-out")'
END_OF_APPLY = '$(pgrep -of "^[^ ]*python.* [^ ]*secondsite session")'
ASKED = "promote:asked"  # the server was asked to promote itself, and has not begun
PROMOTION = (ASKED, "promote:applied")  # where a postmaster is killed besides


@dataclass(frozen=True, slots=True)
class Case:
    """procedure: a key of STEPS; the old primary of a "failover" has no power. moment: STEP:PHASE of its journal, or
    ``rejoin``. world: how the hosts are set up, PLAIN or a key of ONLY."""

    procedure: str
    moment: str
    kind: str
    world: str = PLAIN

    def __str__(self) -> str:
        where = "" if self.world == PLAIN else f", {self.world}"
        return f"{self.procedure}, {self.kind} killed at {self.moment}{where}"

    @property
    def failing_over(self) -> bool:
        return STEPS[self.procedure] is FAILOVER

    @property
    def halted_at(self) -> str | None:
        """Where the procedure is halted; None where it has no journal yet."""
        return {REJOIN: None, ASKED: "promote:intent"}.get(self.moment, self.moment)


def cases() -> list[Case]:
    """Every kind of kill at every step of every procedure; of a postmaster also in its promotion and right behind."""
    return [case for world in (PLAIN, *ONLY) for case in _cases(world)]


def _cases(world: str) -> list[Case]:
    found = []
    for procedure, steps in STEPS.items():
        elsewhere = {step for other, own in ONLY.items() if other != world for step in own} | {*IDLE.get(procedure, ())}
        begun = [step for step in steps if step not in elsewhere and (world == PLAIN or step in ONLY[world])]
        moments = [f"{step.name}:intent" for step in begun]
        promotion = PROMOTION if world == PLAIN else ()
        if procedure == "failback" and world == PLAIN:
            moments.insert(0, REJOIN)
        found += [
            Case(procedure, moment, kind, world)
            for kind in KINDS
            if (procedure, kind) != ("failover", "other agent")  # its host has no power
            and not (procedure == "failback" and kind in ALONE)  # its apply starts the agent
            for moment in (*moments, *(promotion if kind == "postmaster" else ()))
        ]
    return found


@dataclass
class Course:
    """What the operator was told, one document after the other; the last is the end."""

    documents: list[dict[str, Any]] = field(default_factory=list)

    def told(self) -> str:
        """For a test that fails."""
        return "\n".join(json.dumps(_short(document)) for document in self.documents)

    @property
    def end(self) -> dict[str, Any]:
        return self.documents[-1]


def operate(lab: AppliedLab, *words: str) -> dict[str, Any]:
    """What the operator's command says, which completes."""
    done = subprocess.run(
        lab.operator(*words, "--yes", "--json"), capture_output=True, text=True, timeout=ENDED_SECONDS
    )
    document = dict(json.loads(done.stdout or "{}"))
    assert document.get("outcome") == "completed", done.stdout + done.stderr
    return document


def _short(document: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("command", "exit", "procedure", "outcome", "error", "message", "hint", "errors", "said", "unfinished")
    return {key: document[key] for key in kept if document.get(key)}


class Killed:
    """One case on a lab whose primary is ``old``."""

    def __init__(self, lab: AppliedLab, case: Case, old: str) -> None:
        self.lab, self.case, self.old, self.new = lab, case, old, OTHER[old]
        self.course = Course()
        verb = "failover" if case.failing_over else case.procedure
        to = [] if verb == "failback" else ["--to", self.new]
        accept = ["--accept-unconfirmed-fence"] if case.procedure == "failover" else []
        self.command = [verb, *to, "--yes", "--json", *accept]
        # an interrupted failback is simply given again; so its help says
        self.resume = [*self.command] if verb == "failback" else [*self.command, "--resume"]

    def run(self) -> Course:
        """Give the command, kill, and do what is told until the procedure is over."""
        giving = subprocess.Popen(
            self.lab.operator(*self.command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            if self.case.halted_at is not None:
                self._until_halted(giving)
                self._disarm()
                if self.case.moment == ASKED:
                    self._kill_in_promotion()
                else:
                    self._kill(giving)
                    self._let_go_on()
            else:
                self._until_changing(giving)
                self._kill(giving)
            out, err = giving.communicate(timeout=ENDED_SECONDS)
        finally:
            giving.kill()
            giving.wait(timeout=10)
        self._heard(self.command, giving.returncode, out, err)
        if self._alone:
            self.lab.on(self.new, f"systemctl start {AGENT}")
        self._go_on()
        return self.course

    @property
    def _alone(self) -> bool:
        return self.case.kind in ALONE

    def arm(self) -> None:
        """From now on the procedure halts at the moment. Its agent starts anew, or is not there."""
        if self.case.halted_at is None:
            return
        setting = f"SECONDSITE_HALT_AT={self.case.halted_at}"
        if self._alone:
            self.lab.on(self.new, f"systemctl stop {AGENT}; echo {setting} >> /etc/environment")
            return
        folder = f"/run/systemd/system/{AGENT}.d"
        self.lab.on(
            self.new,
            f"mkdir -p {folder}; printf '[Service]\\nEnvironment={setting}\\n' > {folder}/halt.conf;"
            f" systemctl daemon-reload; systemctl restart {AGENT}",
        )

    def _disarm(self) -> None:
        if self._alone:
            self.lab.on(self.new, "sed -i /SECONDSITE_HALT_AT/d /etc/environment")
        else:
            self.lab.on(self.new, f"rm /run/systemd/system/{AGENT}.d/halt.conf; systemctl daemon-reload")

    @property
    def _process(self) -> str:
        """The id of the process that carries the procedure out, as the host's shell finds it."""
        return END_OF_SESSION if self._alone else f"$(systemctl show --property=MainPID --value {AGENT})"

    def _let_go_on(self) -> None:
        if self.case.kind not in ("agent", ALONE[0]):
            self.lab.on(self.new, f"kill -CONT {self._process}")

    def _until_halted(self, giving: subprocess.Popen[str]) -> None:
        until = f"until grep -qs ^State:.T /proc/{self._process}/status; do sleep 0.05; done"
        done = self.lab.said(self.new, f"timeout {HALTED_SECONDS} sh -c '{until}'")
        if done.returncode != 0:
            self._disarm()
            giving.kill()
            out, err = giving.communicate(timeout=30)
            raise AssertionError(f"{self.case.moment} was never reached: {done.stderr}{out}{err[-3000:]}")

    def _until_changing(self, giving: subprocess.Popen[str]) -> None:
        assert giving.stderr is not None
        said = []
        limit = threading.Timer(HALTED_SECONDS, giving.kill)  # then nothing more is told
        limit.start()
        try:
            for line in giving.stderr:
                said.append(line)
                if ": changed " in line:
                    return
        finally:
            limit.cancel()
        raise AssertionError(f"no change was told within {HALTED_SECONDS} s: {''.join(said)[-3000:]}")

    def _kill(self, giving: subprocess.Popen[str]) -> None:
        match self.case.kind:
            case "agent":
                self.lab.on(self.new, f"systemctl kill --signal=KILL {AGENT}")
            case "other agent":
                self.lab.on(self.old, f"systemctl kill --signal=KILL {AGENT}")
            case "postmaster":
                self._kill_postmaster()
            case "session" | "session without agent":
                self._kill_session()
            case "process without agent":
                self.lab.on(self.new, f"kill -KILL {self._process}")
            case "command":
                giving.kill()
            case other:
                raise ValueError(other)

    def _kill_session(self) -> None:
        """In a failback's apply the other host may have told the change: then as soon as there is one here."""
        end = END_OF_APPLY if self.case.moment == REJOIN else END_OF_SESSION
        one = f"p={end} && s=$(ps -o ppid= -p $p) && kill -KILL $s"
        self.lab.on(self.new, f"for i in $(seq 1500); do if {one}; then exit 0; fi; sleep 0.02; done; exit 1")

    def _kill_postmaster(self) -> None:
        """In a failback's apply it may just be away: then as soon as it comes."""
        file = f"{self.lab.cluster.data}/postmaster.pid"
        one = f"p=$(head -1 {file} 2>/dev/null); grep -qs postgres /proc/$p/comm && kill -KILL $p"
        self.lab.on(self.new, f"for i in $(seq 1500); do if {one}; then exit 0; fi; sleep 0.02; done; exit 1")

    def _kill_in_promotion(self) -> None:
        """Its startup process sleeps, so that the promotion that it is asked for does not begin before the kill."""
        data = self.lab.cluster.data
        self.lab.on(
            self.new,
            f"p=$(head -1 {data}/postmaster.pid); s=$(pgrep -P $p -f startup); kill -STOP $s;"
            f" kill -CONT {self._process};"
            f" for i in $(seq 1500); do if [ -e {data}/promote ]; then kill -KILL $p $s; exit 0; fi; sleep 0.02; done;"
            " exit 1",
        )

    def _heard(self, command: list[str], code: int, out: str, err: str) -> None:
        try:
            document = dict(json.loads(out))
        except ValueError:
            document = {"said": err[-600:]}
        assert "Traceback" not in err, err
        self.course.documents.append({"command": " ".join(command), "exit": code, **document})

    def _say(self, command: list[str]) -> dict[str, Any]:
        done = subprocess.run(
            self.lab.operator(*command), capture_output=True, text=True, timeout=ENDED_SECONDS, stdin=subprocess.DEVNULL
        )
        self._heard(command, done.returncode, done.stdout, done.stderr)
        return self.course.end

    def _go_on(self) -> None:
        """As the operator would: what is unfinished is taken up, what was given up is given again, and a database that
        does not run is started, once, as is said."""
        deadline = time.monotonic() + GO_ON_SECONDS
        started = False
        while (last := self.course.end).get("outcome") != "completed":
            assert time.monotonic() < deadline, f"no end:\n{self.course.told()}"
            if not started and self._database_down():
                told = json.dumps(last)
                assert self._described(last), f"nothing says that the database is down:\n{told}"
                started = True
                self.lab.on(
                    self.new, f"systemctl reset-failed {self.lab.cluster.unit}; systemctl start {self.lab.cluster.unit}"
                )
            if last.get("outcome") == "rolled_back":
                self._rolled_back()
                self._say(self.command)
            elif last.get("error") == "nothing-to-resume":
                if self._ended_by_itself():
                    return
                self._say(self.command)
            else:
                self._say(self.resume)
            if self.course.end.get("outcome") != "completed":
                time.sleep(1.5)

    def _database_down(self) -> bool:
        return self.lab.said(self.new, "runuser -u postgres -- psql -XAtqc 'SELECT 1'").returncode != 0

    def _described(self, last: Mapping[str, Any]) -> bool:
        """The command's document names the unit, or status shows a database that does not run."""
        deadline = time.monotonic() + 15
        while self.lab.cluster.unit not in json.dumps(last):
            status = self.lab.json(self.new, "secondsite status --json")
            if status["sites"][self.new]["role"] == "stopped":
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def _ended_by_itself(self) -> bool:
        """Its agent has brought it to its end, and status says so."""
        status = self.lab.json(self.new, "secondsite status --json")
        last = status.get("last_procedure") or {}
        if last.get("outcome") == "completed" and status["primary"] == self.new:
            self.course.documents.append({"command": "by itself", **last, "rpo": self._journalled_loss()})
            return True
        return False

    def _journalled_loss(self) -> dict[str, Any]:
        """What a procedure whose document nobody heard has estimated, from its journal."""
        newest = self.lab.on(self.new, "cat $(ls -t /var/lib/secondsite/journal/*.jsonl | head -1)")
        results = [row["body"] for row in map(json.loads, newest.splitlines()) if row["kind"] == "result"]
        assessed = next(body for body in reversed(results) if body["step"] == "assess")
        return dict(assessed["details"].get("rpo", {}))

    def _rolled_back(self) -> None:
        """Everything is as it was: status names the old primary, and that this was taken back."""
        if self.case.procedure == "failover":
            return  # nothing of the old primary answers
        deadline = time.monotonic() + 30
        while True:
            status = self.lab.json(self.old, "secondsite status --json")
            if status["primary"] == self.old:
                return
            assert time.monotonic() < deadline, f"rolled back, and status says {json.dumps(status)[:1500]}"
            time.sleep(0.5)


@contextmanager
def writing_at_both(lab: AppliedLab, old: str) -> Iterator[list[dict[str, Any]]]:
    """Rows are written at both sites as long as the block lasts; then the list has all that were acknowledged.

    old: the primary at the beginning. At the end it is the other site.
    """
    dsn = lab.info["app"]["dsn"]
    name = dsn.rsplit("@", 1)[1].split(":")[0]
    hosts = [f"{host}={dsn.replace('@' + name, '@' + lab.info['hosts'][host]['address'])}" for host in OTHER]
    argv = lab.world(str(BIN / "python"), "-m", "secondsite_lab.writers", *hosts)
    began = time.time() - 0.001  # a row's id begins with milliseconds
    writing = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert writing.stdout is not None
    kept: list[dict[str, Any]] = []
    try:
        assert writing.stdout.readline() == "writing\n"
        _until_written(lab, old, began)
        yield kept
        _until_written(lab, OTHER[old], began)
        writing.terminate()
        told, _ = writing.communicate(timeout=30)
        kept += json.loads(told)
    finally:
        writing.kill()
        writing.wait(timeout=10)


def _until_written(lab: AppliedLab, host: str, began: float) -> None:
    """Wait until a site has taken rows of its own since ``began`` (unix seconds)."""
    own = f"id LIKE $$%-{host}-%$$ AND split_part(id, $$-$$, 1)::float8 >= {began}"
    ask = f"runuser -u postgres -- psql -XqAtd shop -c 'SELECT count(*) FROM written_at_every_site WHERE {own}'"
    deadline = time.monotonic() + WRITTEN_SECONDS
    while int((told := lab.said(host, ask)).stdout.strip() or 0) < WRITTEN_ROWS:
        assert time.monotonic() < deadline, f"nobody can write at {host}: {told.stdout}{told.stderr}"
        time.sleep(0.1)


def never_two(kept: list[dict[str, Any]], old: str) -> None:
    """Once the new site has acknowledged a row, the old one acknowledges none that begins later."""
    first = next((row["ended"] for row in kept if row["host"] == OTHER[old]), None)
    assert first is not None, "the new primary took no row"
    late = [row for row in kept if row["host"] == old and row["began"] > first]
    assert not late, f"two primaries: {len(late)} rows at {old} behind the first at {OTHER[old]}"


def missing(lab: AppliedLab, kept: list[dict[str, Any]], at: str) -> list[dict[str, Any]]:
    """What was acknowledged and is not in the database of the site that serves now."""
    ask = "SELECT coalesce(json_agg(id), $$[]$$) FROM written_at_every_site"
    there = set(json.loads(lab.on(at, f"runuser -u postgres -- psql -XqAtd shop -c '{ask}'")))
    assert len(kept) > 5, "nothing was written at all"
    return [row for row in kept if row["id"] not in there]


def reported(lost: list[dict[str, Any]], document: Mapping[str, Any]) -> None:
    """What a failover has lost is within what it reported: seconds of work, or (None) that nobody knows."""
    assert "estimated_seconds" in document.get("rpo", {}), f"it says nothing of what is lost: {json.dumps(document)}"
    if not lost:
        return
    told = document["rpo"]["estimated_seconds"]
    span = max(row["ended"] for row in lost) - min(row["began"] for row in lost)
    assert told is None or told >= span, f"{len(lost)} rows of {span:.2f} s are lost, and {told} s were reported"
