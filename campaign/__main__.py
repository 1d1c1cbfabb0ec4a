"""``python -m campaign --rounds N --seed S [--round K]``: rounds of random faults, and what came of each."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from campaign.plan import draw
from campaign.play import Round, keep_logs, play
from campaign.states import States
from campaign.table import into, line, table
from secondsite import __version__
from secondsite_lab.applied import BIN, AppliedLab, applied

BUILD = Path("build/campaign")
OPTIONS = ("--open-database", "--database-on-disk")


def main() -> None:
    """Exit code 0: every promise held in every round. 1: not."""
    parser = argparse.ArgumentParser(prog="campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--round", type=int, nargs="+", help="only these")
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    parser.add_argument("--name", default="campaign", help="of the lab")
    parser.add_argument("--keep", action="store_true", help="use the lab that is there, and leave it")
    parser.add_argument("--page", type=Path, help="only write the rounds of that seed that were played into this page")
    parser.add_argument("--plans", action="store_true", help="only print what would happen")
    options = parser.parse_args()
    numbers = options.round or list(range(options.first, options.first + options.rounds))
    if options.page:
        options.page.write_text(into(options.page.read_text(), list(played(options.seed).values())))
        return
    if options.plans:
        for number in numbers:
            plan = draw(options.seed, number)
            print(f"{number}: {plan.state}: {'; '.join(map(str, plan.faults))} | {plan.reaction} | {plan.way_back}")
        return
    rounds = run(options.seed, numbers, options.name, keep=options.keep)
    raise SystemExit(1 if any(one.wrong for one in rounds) else 0)


def run(seed: int, numbers: list[int], name: str, *, keep: bool = False) -> list[Round]:
    """The rounds on one lab; a round that failed is followed by a fresh one."""
    BUILD.mkdir(parents=True, exist_ok=True)
    rounds: list[Round] = []
    while len(rounds) < len(numbers):
        with kept(name) if keep else applied(name, *OPTIONS) as lab:
            states = States(lab, BUILD)
            for number in numbers[len(rounds) :]:
                rounds.append(one_round(lab, states, seed, number))
                print(line(rounds[-1].document()), flush=True)
                write(seed, rounds[-1])
                if rounds[-1].evidence is None:
                    break
    print(f"\n{table([one.document() for one in rounds])}")
    return rounds


@contextmanager
def kept(name: str) -> Iterator[AppliedLab]:
    """A lab that an earlier campaign has left. Raises CalledProcessError where there is none."""
    told = subprocess.run(
        [str(BIN / "secondsite-lab"), "info", "--name", name, "--json"], check=True, capture_output=True
    )
    yield AppliedLab(name, json.loads(told.stdout))


def one_round(lab: AppliedLab, states: States, seed: int, number: int) -> Round:
    """Play it; what a round that failed has left is kept."""
    plan, folder, began = draw(seed, number), BUILD / f"{seed}-{number}", time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        played = play(lab, states, plan, folder)
    except (OSError, RuntimeError, subprocess.SubprocessError, ValueError) as broken:
        told = f"the round could not be played: {type(broken).__name__}: {broken}"[:600]
        played = Round(plan, None, (told,), 0.0, time.monotonic() - began, ())
    if played.wrong:
        keep_logs(lab, folder)
    else:
        shutil.rmtree(folder)
    return played


def played(seed: int) -> dict[int, dict[str, Any]]:
    """The rounds of a seed that were played so far, by number and in their order."""
    path = BUILD / f"{seed}.json"
    return {one["round"]: one for one in json.loads(path.read_text())["rounds"]} if path.exists() else {}


def earlier(before: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """How a round has ended each time that it was played, the oldest first."""
    if before is None:
        return []
    return [*before.get("earlier", ()), {key: before[key] for key in ("verdict", "wrong")}]


def write(seed: int, one: Round) -> Path:
    """build/campaign/SEED.json, after every round, so that an interrupted campaign has told what it knows.

    Rounds of that seed that were played before stay in it. One played again takes its own place only, and keeps how it
    has ended before.
    """
    path, known = BUILD / f"{seed}.json", played(seed)
    known[one.plan.number] = {**one.document(), "earlier": earlier(known.get(one.plan.number))}
    document = {
        "seed": seed,
        "secondsite": __version__,
        "machine": {"system": platform.platform(), "python": sys.version.split()[0]},
        "rounds": [known[number] for number in sorted(known)],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


if __name__ == "__main__":
    main()
