"""A site in a guest, as the tests see it: a pool, a set's dataset, and the program that serves and mirrors it."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any

from secondsite_lab.guests.guest import Guest
from secondsite_lab.guests.pair import PROGRAM, PYTHON, mount
from secondsite_lab.guests.wire import ADDRESSES, other

ANSWER_SECONDS = 900.0
PATH = "/srv/up"


class Refused(Exception):
    """The engine has raised a SecondsiteError."""

    def __init__(self, slug: str, message: str) -> None:
        super().__init__(f"{slug}: {message}")
        self.slug = slug


@dataclass(slots=True)
class Site:
    """user: who runs the program there."""

    guest: Guest
    user: str = "root"
    root: str = "tank/up"
    _program: subprocess.Popen[str] | None = field(default=None, repr=False)

    def sh(self, script: str, *, user: str = "root", seconds: float = 300.0) -> str:
        return self.guest.run(script, user=user, seconds=seconds)

    def zfs(self, words: str) -> str:
        return self.sh(f"zfs {words}")

    def new_pool(self) -> None:
        """Whatever was there before is gone."""
        self.stop()
        made = "zpool create -f -O atime=off -O mountpoint=none tank /dev/vdb"
        gone = "rm -rf /var/lib/site /srv/up /srv/up.* /srv/look /root/back"
        self.sh(f"zpool list -H tank >/dev/null 2>&1 && zpool destroy -f tank; {gone}; {made}")

    def start(self, view: str = "") -> None:
        """Run the program there. view: a command of the guest that sees to where it runs."""
        self.stop()
        here, far = ADDRESSES[self.guest.name], ADDRESSES[other(self.guest.name)]
        words = f"{view} {PYTHON} {PROGRAM}/more/program.py {here} {far} {PATH} /var/lib/site/{self.user}"
        self.sh(f"install -d -o {self.user} /var/lib/site/{self.user}")
        self._program = subprocess.Popen(
            [*self.guest.ssh(user=self.user), *shlex.split(words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer(ANSWER_SECONDS) == "ready"

    def stop(self) -> None:
        """End it, where it runs."""
        if self._program is None:
            return
        program, self._program = self._program, None
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.close()
        try:
            program.wait(timeout=60)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(timeout=10)
        program.stdout.close()

    def begin(self, do: str, **more: Any) -> None:
        """Ask, and do not wait."""
        assert self._program is not None
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._program.stdin.flush()

    def ask(self, do: str, **more: Any) -> Any:
        """What it answers. Raises Refused."""
        self.begin(do, **more)
        return self.answer(ANSWER_SECONDS)

    def answer(self, seconds: float) -> Any:
        assert self._program is not None
        assert self._program.stdout is not None
        late = threading.Timer(seconds, self._program.kill)
        late.start()
        try:
            line = self._program.stdout.readline()
        finally:
            late.cancel()
        assert line, f"the program in {self.guest.name} has ended"
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"], answer["message"])
        return answer["ok"]

    def pull(self) -> dict[str, Any]:
        """A round that has to do all there is to do."""
        done: dict[str, Any] = self.ask("pull")
        assert done["complete"], done
        return done

    def get(self, key: str, name: str | None = None) -> str:
        return self.zfs(f"get -Hpo value {key} {name or self.root}")

    def guids(self, root: str | None = None) -> list[str]:
        """Of the snapshots, oldest first."""
        return self.zfs(f"list -Hp -t snapshot -d 1 -o guid -s createtxg {root or self.root}").split()

    def token(self) -> str:
        return self.get("receive_resume_token")

    def power_cut(self) -> None:
        """The machine is off at once."""
        program, self._program = self._program, None
        self.guest.power_cut()
        if program is not None:
            program.kill()
            program.wait(timeout=30)

    def power_on(self) -> None:
        """It boots, and finds its pool again."""
        self.guest.start()
        self.guest.wait_up()
        mount(self.guest)
        self.sh("zpool list -H tank >/dev/null 2>&1 || zpool import -f -d /dev tank")

    def fill(self, name: str, megabytes: int) -> str:
        """A file that does not compress; its checksum. It is on the disk."""
        done = self.sh(f"head -c {megabytes}M /dev/urandom >{PATH}/{name} && sync && sha256sum {PATH}/{name}")
        return done.split()[0]

    def read(self, name: str) -> str:
        """A file's checksum in the copy, by a clone of its newest snapshot: the copy itself is not mounted."""
        newest = self.zfs(f"list -H -t snapshot -d 1 -o name -s createtxg {self.root}").split()[-1]
        clone = f"zfs clone -o mountpoint=/srv/look -o readonly=on {newest} tank/look"
        done = self.sh(f"{clone} && sha256sum /srv/look/{name}; zfs destroy tank/look")
        return done.split()[0]
