"""The commands `secondsite-lab fault …`."""

from typing import Annotated

from cyclopts import App, Parameter

from secondsite_lab.cli_words import Name, tell
from secondsite_lab.lab import DEFAULT_NAME, Lab, lab_named
from secondsite_lab.record import Record

fault = App(name="fault", help="Break something inside a host, and heal it.", version_flags=[])


def _lab(name: str) -> tuple[Lab, Record]:
    from secondsite_lab import preflight, record

    preflight.require_root()
    lab = lab_named(name)
    return lab, record.read_complete(lab)


@fault.command
def freeze(host: str, *, name: Name = DEFAULT_NAME) -> None:
    """Stop the database of a host without its knowledge (SIGSTOP): connections stay open and nobody answers.

    Parameters
    ----------
    host
        oslo or bergen.
    """
    from secondsite_lab import freeze as freezer
    from secondsite_lab.topology import host_named

    lab, made = _lab(name)
    freezer.freeze(lab, made, host_named(host))


@fault.command(name="fill-disk")
def fill_disk(host: str, *, name: Name = DEFAULT_NAME) -> None:
    """Fill the data disk of a site; with `up --database-on-disk` the database has no room either.

    Parameters
    ----------
    host
        oslo or bergen.
    """
    from secondsite_lab import fill
    from secondsite_lab.topology import host_named

    lab, made = _lab(name)
    fill.fill(lab, made, host_named(host))


@fault.command
def clock(
    host: str, seconds: Annotated[float, Parameter(allow_leading_hyphen=True)], *, name: Name = DEFAULT_NAME
) -> None:
    """Let the clock of a site's services jump: PostgreSQL, secondsite's agent, the shop. Within a second.

    The machine's own clock is never touched: the services run under libfaketime, and are restarted for it the first
    time. Programs started by SSH, wireguard-go and the monotonic clock keep the right time.

    Parameters
    ----------
    host
        oslo or bergen.
    seconds
        How far ahead of the right time; negative: behind. 0 only prepares the services.
    """
    from secondsite_lab import skew
    from secondsite_lab.topology import host_named
    from secondsite_lab.up import changing

    lab, made = _lab(name)
    with changing(lab, tell):
        skew.skew(lab, made, host_named(host), seconds)


@fault.command
def heal(host: str, *, name: Name = DEFAULT_NAME) -> None:
    """Undo `freeze`, `fill-disk` and `clock` at a host. What the fault has ended is not started again.

    Parameters
    ----------
    host
        oslo or bergen.
    """
    from secondsite_lab import fill, skew
    from secondsite_lab import freeze as freezer
    from secondsite_lab.topology import host_named

    lab, made = _lab(name)
    where = host_named(host)
    freezer.thaw(lab, made, where)
    fill.empty(lab, made, where)
    skew.right(lab, where)
