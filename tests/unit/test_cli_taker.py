"""Who takes over where nobody has said it: the only standby, and nobody where that is not plain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from secondsite.cli import failover, sight, switchover
from secondsite.cli.taker import only_standby
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import UsageError
from secondsite.objectives.document import document
from secondsite.objectives.snapshot import Silence, SiteView, Unfinished
from secondsite.objectives.status import assess
from tests.unit.objectives_worlds import NOW, SPEC, primary, site, standby, well

SILENT = Silence("oslo", "no answer", NOW - 60)
WAS_PRIMARY = Silence("oslo", "no answer", NOW - 60, site("oslo", primary()))


def chosen(**views: SiteView) -> tuple[str | None, str]:
    return only_standby(document(assess(SPEC, {**well(), **views}, (), datetime.fromtimestamp(NOW, UTC))))


@pytest.mark.parametrize(
    ("oslo", "because"),
    [
        (site("oslo", primary()), "oslo is the primary"),
        (WAS_PRIMARY, "oslo does not answer and was primary"),
        (SILENT, "oslo does not answer"),
        (site("oslo", DatabaseState(Role.STOPPED)), "oslo has a database that is stopped"),
    ],
)
def test_the_only_standby_takes_over_and_it_is_said_why(oslo: SiteView, because: str) -> None:
    site_, told = chosen(oslo=oslo)
    assert site_ == "bergen" and told == f"bergen takes over: it is the only standby; {because}"


@pytest.mark.parametrize(
    ("oslo", "bergen", "told"),
    [
        (site("oslo", standby()), site("bergen", standby()), "oslo is a standby; bergen is a standby"),
        (Silence("oslo", "x", None, site("oslo", standby())), site("bergen", standby()), "not answer and was standby"),
        (Silence("oslo", "x", set_up=False), site("bergen", standby()), "oslo does not answer"),
        (SILENT, Silence("bergen", "x"), "bergen does not answer"),
        (site("oslo", primary()), Silence("bergen", "x", None, site("bergen", standby())), "oslo is the primary"),
        (site("oslo", primary()), site("bergen", primary(timeline=2)), "bergen is the primary"),
        (WAS_PRIMARY, site("bergen", standby(), guard_reason="fenced"), "bergen is held back by its guard (fenced)"),
        (site("oslo", standby(), guard_reason="old"), site("bergen", primary(timeline=2)), "bergen is the primary"),
    ],
)
def test_where_it_is_not_plain_nobody_is_chosen_and_each_site_is_told(
    oslo: SiteView, bergen: SiteView, told: str
) -> None:
    site_, said = chosen(oslo=oslo, bergen=bergen)
    assert site_ is None and told in said


async def test_a_failover_from_a_laptop_goes_where_it_must_and_asks_only_where_it_is_not_plain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, SiteView] = {**well(), "oslo": WAS_PRIMARY}

    def begin(_: Path | None) -> Callable[[], dict[str, Any]]:
        return lambda: document(assess(SPEC, seen, (), datetime.fromtimestamp(NOW, UTC)))

    monkeypatch.setattr(sight, "begin", begin)
    assert await failover._target(SPEC, None, Path("x"), resume=False) == "bergen"
    assert "bergen takes over: it is the only standby" in capsys.readouterr().err
    assert await failover._target(SPEC, "oslo", Path("x"), resume=False) == "oslo", "a person has the last word"
    with pytest.raises(UsageError, match="which site shall take over"):
        await failover._target(SPEC, None, Path("x"), resume=True)
    seen["bergen"] = site("bergen", standby(), unfinished=Unfinished("failover", "failover-1a2b", NOW))
    assert await failover._target(SPEC, None, Path("x"), resume=True) == "bergen"
    assert "failover-1a2b of bergen is taken up" in capsys.readouterr().err
    with pytest.raises(UsageError, match="which site shall take over"):
        await switchover._target(lambda: SPEC, None, Path("x"), resume=True)
    seen["bergen"] = site("bergen", standby(), unfinished=Unfinished("switchover", "switchover-1a2b", NOW))
    assert await switchover._target(lambda: SPEC, None, Path("x"), resume=True) == "bergen"
    seen["oslo"] = site("oslo", standby())
    with pytest.raises(UsageError, match="oslo is a standby; bergen is a standby"):
        await failover._target(SPEC, None, Path("x"), resume=False)
