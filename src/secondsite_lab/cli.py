"""The command `secondsite-lab`."""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter

from secondsite_lab.cli_fault import fault
from secondsite_lab.cli_link import link
from secondsite_lab.cli_words import Name, Storage, Suite, tell
from secondsite_lab.errors import LabError, NotYetUp, UsageError
from secondsite_lab.home import return_home
from secondsite_lab.lab import DEFAULT_NAME, Lab, known_labs, lab_named

app = App(
    name="secondsite-lab",
    help="""Two real sites on one machine, to try disasters on.

    A lab is three hosts with a Debian of their own: the sites *oslo* (primary, a shop runs on it) and *bergen* (empty),
    and the *world* with the name server and the customers. Hosts have their own network behind a router, so links can
    be cut, slowed and healed, and the power of a host can be switched off and on.

    Start with `secondsite-lab up`, look with `secondsite-lab info`, end with `secondsite-lab down`.
    """,
    version_flags=[],
)
app.command(link)
app.command(fault)


def _print_info(lab: Lab, *, as_json: bool) -> None:
    from secondsite_lab import info, record

    document = info.describe(lab, record.read_complete(lab))
    if as_json:
        print(json.dumps(document, indent=2))
        return
    print(f"lab {lab.name} ({document['suite']})")
    for name, host in {**document["hosts"], "world": document["world"]}.items():
        power = "on " if host["powered"] else "off"
        print(f"  {name:8}{host['address']:16}{power}  netns {host['netns']}  root {host['root']}")
    print(f"  config  {document['config']}")
    print(f"  ssh     ip netns exec {document['world']['netns']} ssh -F {document['ssh_config']} 192.0.2.11")
    print(f"  shop    {document['app']['url']}   (from the world's namespace)")


def _print_labs(*, as_json: bool) -> None:
    from secondsite_lab import info, record

    labs = []
    for lab in known_labs():
        try:
            labs.append(info.brief(lab, record.read_complete(lab)))
        except LabError:
            labs.append({"name": lab.name, "suite": None, "powered": {}})
    if as_json:
        print(json.dumps({"labs": labs}, indent=2))
        return
    for one in labs:
        hosts = "  ".join(f"{host} {'on' if on else 'off'}" for host, on in one["powered"].items())
        print(f"{one['name']:20}{one['suite'] or 'not whole':12}{hosts}")
    if not labs:
        print("no lab is here; make one with: secondsite-lab up")


@app.command
def up(
    *,
    suite: Suite = "bookworm",
    open_database: bool = False,
    storage: Storage | None = None,
    disk_size: str = "2G",
    database_on_disk: Annotated[bool, Parameter(negative=())] = False,
    name: Name = DEFAULT_NAME,
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Make a lab and boot it: two sites, a world, and a shop that is open at oslo.

    The first time it builds a base image (about a minute); after that a lab is up in a few seconds.

    Parameters
    ----------
    suite
        Debian release of the hosts: bookworm or trixie.
    open_database
        Let database clients in the world reach the database, once secondsite has been applied.
    storage
        Where disks live: btrfs or overlay. Chosen by what the kernel has.
    disk_size
        Size of the data disk that each site has at /srv.
    database_on_disk
        Keep the database on that disk too, so that it can run full: see `fault fill-disk`.
    json
        Print the same document as `info --json` when done.
    """
    from secondsite_lab import preflight, record
    from secondsite_lab.up import up as bring_up

    preflight.check()
    lab = lab_named(name)
    wanted = replace(
        record.new(suite, kind=storage, open_database=open_database, disk_size=disk_size),
        database_on_disk=database_on_disk,
    )
    bring_up(lab, wanted, tell)
    _print_info(lab, as_json=json)


@app.command
def down(*, all_labs: Annotated[bool, Parameter(name="--all", negative=())] = False, name: Name = DEFAULT_NAME) -> None:
    """Remove a lab and everything that belongs to it, also what a killed run left behind.

    Parameters
    ----------
    all_labs
        Remove every lab on this machine.
    """
    from secondsite_lab import down as removal
    from secondsite_lab import preflight
    from secondsite_lab.up import changing

    preflight.require_root()
    for lab in known_labs() if all_labs else [lab_named(name)]:
        with changing(lab, tell):
            removal.remove(lab, tell)
    removal.tidy()


@app.command
def info(*, name: Name = DEFAULT_NAME, json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> None:
    """Tell what an outside program needs to join in: addresses, namespaces, keys, the shop's URL.

    Exit code 1: another run of `up` is still bringing the lab up; ask again. 3: there is no such lab, or what made it
    was killed on the way.

    Parameters
    ----------
    json
        Print one JSON document.
    """
    _print_info(lab_named(name), as_json=json)


@app.command(name="list")
def list_labs(*, json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> None:
    """Tell which labs are on this machine.

    Parameters
    ----------
    json
        Print one JSON document: name, suite, and which hosts have power. suite is null where the lab is not whole: it
        is being brought up, or what made it was killed; `secondsite-lab down --name NAME` removes what is left.
    """
    _print_labs(as_json=json)


@app.command(name="exec")
def execute(
    host: str,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    user: str = "root",
    name: Name = DEFAULT_NAME,
) -> None:
    """Run a command inside a host: `secondsite-lab exec oslo -- systemctl status shop`.

    Its input, output and exit code are the command's own.

    Parameters
    ----------
    host
        oslo, bergen or world.
    command
        The command and its arguments.
    user
        The user on the host who runs it.
    """
    from secondsite_lab import inside, preflight
    from secondsite_lab.topology import host_named

    preflight.require_root()
    if not command:
        raise UsageError("no command given", f"secondsite-lab exec {host} -- COMMAND")
    inside.become(lab_named(name), host_named(host), command, user)


@app.command(name="power-off")
def power_off(host: str, *, name: Name = DEFAULT_NAME) -> None:
    """Take the power from a host: its link goes dead first, then it stops between two instructions. Its disk stays."""
    from secondsite_lab import power, preflight, record
    from secondsite_lab.topology import host_named
    from secondsite_lab.up import changing

    preflight.require_root()
    lab = lab_named(name)
    with changing(lab, tell):
        power.off(lab, record.read_complete(lab), host_named(host))


@app.command(name="power-on")
def power_on(host: str, *, name: Name = DEFAULT_NAME) -> None:
    """Give a host its power back: it boots from the disk it had. Links that were cut stay cut."""
    from secondsite_lab import power, preflight, record
    from secondsite_lab.topology import host_named
    from secondsite_lab.up import changing

    preflight.require_root()
    lab = lab_named(name)
    with changing(lab, tell):
        power.on(lab, record.read_complete(lab), host_named(host))


@app.command
def demo(*, output: Path = Path("build/demo"), suite: Suite = "bookworm", keep: bool = False) -> None:
    """Burn down a shop's primary site and watch it come back at the other one. Leaves a report and nothing else.

    Parameters
    ----------
    output
        Folder for report.html, report.json and the evidence.
    suite
        Debian release of the hosts.
    keep
        Leave the lab running at the end.
    """
    from secondsite_lab import demo as play
    from secondsite_lab import preflight

    preflight.check()
    raise SystemExit(play.run(output, suite=suite, keep=keep, tell=tell))


@app.command
def save(label: str, *, name: Name = DEFAULT_NAME) -> None:
    """Keep the disks of all hosts as they are, under a label. The hosts are shut down for it, and booted again.

    Parameters
    ----------
    label
        Under which the state is kept; an older one of that label is replaced.
    """
    from secondsite_lab import preflight, record
    from secondsite_lab.save import save as keep
    from secondsite_lab.up import changing

    preflight.require_root()
    lab = lab_named(name)
    with changing(lab, tell):
        keep(lab, record.read_complete(lab), label)


@app.command
def restore(label: str, *, name: Name = DEFAULT_NAME) -> None:
    """Throw away what the hosts have become: disks as saved, links healed, all hosts booted.

    Parameters
    ----------
    label
        The label given to `save`.
    """
    from secondsite_lab import preflight, record
    from secondsite_lab.save import restore as put_back
    from secondsite_lab.up import changing

    preflight.require_root()
    lab = lab_named(name)
    with changing(lab, tell):
        put_back(lab, record.read_complete(lab), label)


@app.command
def image(*, suite: Suite = "bookworm", storage: Storage | None = None) -> None:
    """Only build the base image, unless it is there: for a machine that shall be ready before the first `up`.

    Parameters
    ----------
    suite
        Debian release: bookworm or trixie.
    storage
        Where disks live: btrfs or overlay.
    """
    from secondsite_lab import down as removal
    from secondsite_lab import preflight
    from secondsite_lab.up import build_image

    preflight.check()
    print(build_image(suite, storage, tell))
    removal.tidy()


@app.command
def customer(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)], name: Name = DEFAULT_NAME) -> None:
    """Be a customer of the shop, out in the world: `secondsite-lab customer -- --log orders.jsonl`.

    The same as running `python -m secondsite_lab.customer` in the world's namespace; try `customer -- --help`.

    Parameters
    ----------
    arguments
        Options of the customer, after `--`.
    """
    import os

    from secondsite_lab import preflight, record
    from secondsite_lab.network import in_namespace
    from secondsite_lab.topology import WORLD

    preflight.require_root()
    lab = lab_named(name)
    record.read_complete(lab)
    argv = in_namespace(lab.netns(WORLD), sys.executable, "-m", "secondsite_lab.customer", *arguments)
    os.execvp(argv[0], argv)


def _fail(error: LabError, code: int) -> NoReturn:
    print(f"secondsite-lab: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  hint: {error.hint}", file=sys.stderr)
    raise SystemExit(code)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """End as on Ctrl-C, so that whatever is half made is taken down again."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the lab is still coming up, 2 usage, 3 failed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        return_home()
        app(exit_on_error=False, print_error=True)
    except CycloptsError:
        raise SystemExit(2) from None
    except UsageError as error:
        _fail(error, 2)
    except NotYetUp as error:
        _fail(error, 1)
    except LabError as error:
        _fail(error, 3)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
