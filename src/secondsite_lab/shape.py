"""Make a link slow, far or lossy.

netem does it all where the kernel has it. Where not, the rate comes from HTB, losses from a random packet rule, and the
delay from a small program on a TUN device, through which the router sends the packets of a direction.
"""

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from secondsite_lab import cgroups, delay, network, processes
from secondsite_lab.errors import UsageError
from secondsite_lab.lab import Lab
from secondsite_lab.links import Direction
from secondsite_lab.record import Record
from secondsite_lab.run import run, succeeds
from secondsite_lab.topology import DIRECTIONS, Host

_UNLIMITED = "100gbit"
_LEAST_RATE = 8_000  # below that, nothing is told apart from a cut
_QUEUE_SECONDS = 0.2
_UNITS = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Quality:
    """What one direction of a link is like; None leaves it as good as it is."""

    rate_bits: int | None = None
    loss: float = 0.0
    delay_ms: float = 0.0


def parse(rate: str | None, loss: str | None, delay_text: str | None) -> Quality:
    """Read `10mbit`, `2%` and `20ms`."""
    quality = Quality(
        _rate(rate) if rate else None,
        _number(loss.removesuffix("%"), "--loss", "2%") / 100 if loss else 0.0,
        _number(delay_text.removesuffix("ms"), "--delay", "20ms") if delay_text else 0.0,
    )
    if quality == Quality():
        raise UsageError("nothing to shape", "give at least one of --rate 10mbit, --loss 2%, --delay 20ms")
    if quality.loss > 1:
        raise UsageError("a link cannot lose more than 100%")
    return quality


def _rate(text: str) -> int:
    for unit, factor in _UNITS.items():
        rate = round(_number(text[: -len(unit)], "--rate", "10mbit") * factor) if text.lower().endswith(unit) else 0
        if rate >= _LEAST_RATE:
            return rate
    raise UsageError(f"cannot read the rate {text!r}", "for example 512kbit, 10mbit, 1gbit")


def _number(text: str, option: str, example: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise UsageError(f"cannot read {option} {text!r}", f"for example {option} {example}")
    return number


def _note(lab: Lab, direction: Direction) -> Path:
    return lab.state / "shapes" / f"{direction[0].name}-{direction[1].name}.json"


def _index(direction: Direction) -> int:
    return DIRECTIONS.index(direction) + 1


def apply(lab: Lab, record: Record, directions: list[Direction], quality: Quality) -> None:
    """Give these directions a quality, instead of the one they had."""
    for direction in directions:
        remove(lab, [direction])
        note = _note(lab, direction)
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps(asdict(quality)))
        _apply_one(lab, record, direction, quality)


def _apply_one(lab: Lab, record: Record, direction: Direction, quality: Quality) -> None:
    if (quality.loss or quality.delay_ms) and has_netem(lab):
        _class(lab, direction, quality.rate_bits)
        words = ["delay", f"{quality.delay_ms}ms", "loss", f"{quality.loss * 100}%", "limit", "100000"]
        _leaf(lab, direction, "netem", *words)
        return
    if quality.rate_bits is not None:
        _class(lab, direction, quality.rate_bits)
        size = max(round(quality.rate_bits / 8 * _QUEUE_SECONDS), 128 * 1024)
        _leaf(lab, direction, "bfifo", "limit", str(size))
    if quality.loss:
        chain = network.loss_chain(*direction)
        chance = round(quality.loss * 1_000_000)
        network.edit_rules(lab, f"add rule {network.TABLE} {chain} numgen random mod 1000000 < {chance} drop\n")
    if quality.delay_ms:
        _detour(lab, record, direction, quality.delay_ms)


def _tc(lab: Lab, *words: str) -> list[str]:
    return ["tc", "-n", lab.router, *words]


def has_netem(lab: Lab) -> bool:
    """Whether the kernel has netem; tried on the router's loopback, which carries nothing."""
    if not succeeds(_tc(lab, "qdisc", "add", "dev", "lo", "root", "netem")):
        return False
    run(_tc(lab, "qdisc", "delete", "dev", "lo", "root"))
    return True


def _class(lab: Lab, direction: Direction, rate_bits: int | None) -> None:
    """The shaping class of a direction, on the router's side of its target's wire."""
    device = direction[1].name
    if "htb" not in run(_tc(lab, "qdisc", "show", "dev", device)):
        run(_tc(lab, "qdisc", "replace", "dev", device, "root", "handle", "1:", "htb"))
    limit = f"{rate_bits}bit" if rate_bits is not None else _UNLIMITED
    place = ["dev", device, "parent", "1:", "classid", f"1:{_index(direction)}"]
    run(_tc(lab, "class", "replace", *place, "htb", "rate", limit))


def _leaf(lab: Lab, direction: Direction, *queue: str) -> None:
    """What happens to the packets of a class."""
    number = _index(direction)
    place = ["dev", direction[1].name, "parent", f"1:{number}", "handle", f"1{number}:"]
    run(_tc(lab, "qdisc", "replace", *place, *queue))


def _device(direction: Direction) -> str:
    return f"delay{_index(direction)}"


def _detour(lab: Lab, record: Record, direction: Direction, milliseconds: float) -> None:
    """Send a direction's packets through a program that hands each one back after its time."""
    device, table = _device(direction), str(100 + _index(direction))
    run(["ip", "-n", lab.router, "tuntap", "add", "dev", device, "mode", "tun"])
    run(["ip", "-n", lab.router, "link", "set", device, "up", "txqueuelen", "10000"])
    groups = record.groups(lab, "router")
    cgroups.create(groups)
    program = network.in_namespace(lab.router, sys.executable, "-I", "-S", delay.__file__, device, str(milliseconds))
    note = _note(lab, direction)
    processes.start(program, record=note.with_suffix(".process"), log=note.with_suffix(".log"), cgroups=groups)
    run(["ip", "-n", lab.router, "route", "replace", "default", "dev", device, "table", table])
    run(["ip", "-n", lab.router, "rule", "add", *_rule(direction), "lookup", table])


def _rule(direction: Direction) -> list[str]:
    source, target = direction
    return ["iif", source.name, "to", target.network]


def remove(lab: Lab, directions: list[Direction]) -> None:
    """Give these directions back the quality they have by themselves."""
    for direction in directions:
        note = _note(lab, direction)
        if not note.exists():
            continue
        network.edit_rules(lab, f"flush chain {network.TABLE} {network.loss_chain(*direction)}\n")
        _remove_detour(lab, direction)
        wire = ["dev", direction[1].name, "classid", f"1:{_index(direction)}"]
        if f"1:{_index(direction)} " in run(_tc(lab, "class", "show", "dev", direction[1].name)):
            run(_tc(lab, "class", "delete", *wire))
        note.unlink()


def _remove_detour(lab: Lab, direction: Direction) -> None:
    while succeeds(["ip", "-n", lab.router, "rule", "delete", *_rule(direction)]):
        continue
    process = processes.load(_note(lab, direction).with_suffix(".process"))
    if process is not None:
        process.kill()
        process.wait_gone(5)
    if succeeds(["ip", "-n", lab.router, "link", "show", _device(direction)]):
        run(["ip", "-n", lab.router, "link", "delete", _device(direction)])


def reapply(lab: Lab, record: Record, host: Host) -> None:
    """Shape a host's links again after it was wired anew."""
    for direction in DIRECTIONS:
        note = _note(lab, direction)
        if host in direction and note.exists():
            quality = Quality(**json.loads(note.read_text()))
            apply(lab, record, [direction], quality)
