"""What a lab is made of, written down before any of it is made, so that `down` can always find it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from secondsite_lab import cgroups, lock, storage
from secondsite_lab.errors import LabError, NotYetUp
from secondsite_lab.identity import Secrets, new_secrets
from secondsite_lab.lab import Lab
from secondsite_lab.storage import Store
from secondsite_lab.topology import Host


@dataclass(frozen=True, slots=True)
class Record:
    """The choices with which a lab was brought up."""

    suite: str
    storage: str
    cgroup_bases: list[str]
    secrets: Secrets
    open_database: bool = False
    disk_size: str = "2G"
    database_on_disk: bool = False
    complete: bool = False
    # The mount and network namespaces of the machine, as the kernel numbers them.
    home: tuple[int, int] = (0, 0)

    def store(self) -> Store:
        """Where this lab's disks are."""
        return storage.store_of(self.storage)

    def groups(self, lab: Lab, part: Host | str) -> list[Path]:
        """The control groups of one part of a lab."""
        name = part if isinstance(part, str) else part.name
        return [Path(base) / lab.name / name for base in self.cgroup_bases]

    def all_groups(self, lab: Lab) -> list[Path]:
        """The control groups above all parts of a lab."""
        return [Path(base) / lab.name for base in self.cgroup_bases]


def namespaces_of(process: str) -> tuple[int, int]:
    """The mount and network namespaces of a process."""
    folder = Path("/proc") / process / "ns"
    return (folder / "mnt").stat().st_ino, (folder / "net").stat().st_ino


def new(suite: str, *, kind: str | None, open_database: bool, disk_size: str) -> Record:
    """The record of a lab that is about to be made."""
    chosen = kind or storage.best_kind()
    bases = [str(base) for base in cgroups.bases()]
    return Record(suite, chosen, bases, new_secrets(), open_database, disk_size, home=namespaces_of("self"))


def write(lab: Lab, record: Record) -> None:
    """Write the record in one piece; it holds secrets."""
    lab.state.mkdir(parents=True, exist_ok=True)
    lab.state.chmod(0o755)
    temporary = lab.record.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(asdict(record), indent=2) + "\n")
    temporary.rename(lab.record)


def read(lab: Lab) -> Record:
    """The record of a lab that exists."""
    try:
        document = json.loads(lab.record.read_text())
    except FileNotFoundError as error:
        raise LabError(f"there is no lab {lab.name!r}", f"secondsite-lab up --name {lab.name}") from error
    home = tuple(document.pop("home", (0, 0)))
    # A lab of another checkout, newer than this one, may keep more; labs of both stand side by side.
    known = {key: value for key, value in document.items() if key in Record.__dataclass_fields__}
    return Record(**{**known, "secrets": Secrets(**document["secrets"]), "home": home})


def read_complete(lab: Lab) -> Record:
    """The record of a lab that came up completely. Raises NotYetUp while another run still brings it up."""
    record = read(lab)
    if not record.complete:
        if lock.is_held(lab.lock):
            raise NotYetUp(
                f"lab {lab.name!r} is still coming up: another secondsite-lab is at work on it",
                f"ask again when its `up` has ended; secondsite-lab info --name {lab.name}",
            )
        raise LabError(f"lab {lab.name!r} never came up completely", f"secondsite-lab down --name {lab.name}")
    return record
