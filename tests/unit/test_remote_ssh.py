"""Reaching hosts: every way SSH fails is one of ours, with what to do next."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import cast

import asyncssh
import pytest

from secondsite.errors import Exit, FinalError, RetryableError, SecondsiteError, UsageError
from secondsite.remote import procedure, ssh, survey, wire
from secondsite.remote.host import Host
from secondsite.remote.refusal import explain
from secondsite.remote.ssh import known_hosts_files
from secondsite.remote.target import Target, target_of
from secondsite.spec import Spec

TARGET = Target("oslo", "192.0.2.11", user="root", port=2222)


@pytest.mark.parametrize(
    ("error", "known", "slug", "kind"),
    [
        (asyncssh.HostKeyNotVerifiable("no"), True, "host-key-changed", FinalError),
        (asyncssh.HostKeyNotVerifiable("no"), False, "host-key-unknown", FinalError),
        (asyncssh.KeyExchangeFailed("No matching host key algorithm found"), True, "host-key-changed", FinalError),
        (asyncssh.PermissionDenied("no"), True, "ssh-auth-failed", FinalError),
        (asyncssh.KeyImportError("Passphrase must be specified"), True, "ssh-auth-failed", FinalError),
        (FileNotFoundError(2, "No such file or directory", "/k"), True, "ssh-auth-failed", FinalError),
        (ConnectionRefusedError(111, "Connection refused"), True, "ssh-unreachable", RetryableError),
        (TimeoutError(), True, "ssh-unreachable", RetryableError),
        (socket.gaierror(-2, "Name or service not known"), True, "ssh-unreachable", RetryableError),
        (asyncssh.ConnectionLost("gone"), True, "ssh-unreachable", RetryableError),
    ],
)
def test_failures_are_told_as_ours(error: Exception, known: bool, slug: str, kind: type[SecondsiteError]) -> None:
    told = explain(error, TARGET, known=known)
    assert type(told) is kind and told.slug == slug
    assert told.host == "oslo" and told.step == "connect" and told.hint
    assert told.exit == Exit.UNCHANGED


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        explain(ZeroDivisionError(), TARGET, known=True)


def spec_with(ssh: str) -> Spec:
    site = {"public": "192.0.2.11", "operator": "X AS", "country": "NO", "location": [60, 10]}
    return Spec.model_validate(
        {
            "service": {"name": "shop"},
            "objectives": {"rpo": "1m", "rto": "5m"},
            "sites": {"oslo": {**site, "ssh": ssh}, "bergen": {**site, "ssh": "bergen", "public": "192.0.2.12"}},
            "tunnel": {"network": "10.10.0.0/24"},
            "database": {"cluster": "15/main"},
        }
    )


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("root@192.0.2.11", "root", "192.0.2.11", None),
        ("oslo", None, "oslo", None),
        ("ops@oslo.example.net:2222", "ops", "oslo.example.net", 2222),
        ("root@[2001:db8::1]:22", "root", "2001:db8::1", 22),
    ],
)
def test_where_ssh_goes(text: str, user: str | None, host: str, port: int | None) -> None:
    target = target_of(spec_with(text), "oslo")
    assert (target.user, target.host, target.port) == (user, host, port)


def test_no_configuration_turns_the_host_key_check_off(tmp_path: Path) -> None:
    assert known_hosts_files(None) == known_hosts_files([])
    assert known_hosts_files([str(tmp_path / "absent")]) == []
    (tmp_path / "known").touch()
    assert known_hosts_files([str(tmp_path / "known"), "/dev/null"]) == [str(tmp_path / "known")]


SURVEY = """arch=x86_64
systemd=yes
apt=yes
os=debian
os_name=Debian GNU/Linux 12 (bookworm)
python=3.11 /usr/bin/python3
python=3.11 /usr/bin/python3.11
release=0.1.0-aaa
library=bbb
cached=libraries/abc
cached=releases/0.1.0-bbb
current=releases/0.1.0-aaa
"""


def test_a_host_as_its_shell_tells_it() -> None:
    found = survey.parse(SURVEY)
    assert found.python == ("3.11", "/usr/bin/python3.11")
    assert (found.releases, found.libraries, found.current) == (("0.1.0-aaa",), ("bbb",), "0.1.0-aaa")
    assert found.cached == ("libraries/abc", "releases/0.1.0-bbb")
    survey.refuse_unsupported(found, "oslo")


def test_an_older_python_beside_a_newer_one() -> None:
    found = survey.parse("arch=x86_64\npython=3.9 /usr/bin/python3\npython=3.12 /usr/bin/python3.12\n")
    assert found.python == ("3.12", "/usr/bin/python3.12")
    assert survey.parse("python=3.9 /usr/bin/python3\n").python is None


@pytest.mark.parametrize(
    ("without", "slug"), [("systemd", "no-systemd"), ("apt", "unsupported-system"), ("arch", "unsupported-system")]
)
def test_hosts_that_cannot_work_are_refused(without: str, slug: str) -> None:
    text = "\n".join(row for row in SURVEY.splitlines() if not row.startswith(f"{without}="))
    with pytest.raises(FinalError) as refused:
        survey.refuse_unsupported(survey.parse(text), "oslo")
    assert refused.value.slug == slug and refused.value.host == "oslo"


@pytest.mark.parametrize("kind", [FinalError, RetryableError, UsageError, SecondsiteError])
def test_an_error_crosses_the_wire_whole(kind: type[SecondsiteError]) -> None:
    error = kind("what", slug="some-slug", host="oslo", step="s", hint="h")
    back = wire.error_from(wire.error_document(error), "bergen")
    assert type(back) is kind and back.as_json() == error.as_json()


def test_an_error_without_a_host_gets_the_one_it_came_from() -> None:
    assert wire.error_from(wire.error_document(FinalError("x")), "bergen").host == "bergen"


@pytest.mark.parametrize(
    ("way", "told"), [("", 0), ("ProxyJump none", 0), ("ProxyJump localhost:9", 1), ("ProxyCommand false", 1)]
)
async def test_a_host_behind_another_one_counts_as_answering_because_nobody_can_know_yet(
    way: str, told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "ATTEMPTS", 1)
    config = tmp_path / "config"
    config.write_text(f"Host 127.0.0.1\n  {way}\n")
    answers: list[None] = []
    with pytest.raises(SecondsiteError):
        await ssh.connect(Target("oslo", "127.0.0.1", port=9, config=config), answered=lambda: answers.append(None))
    assert len(answers) >= told and bool(answers) is bool(told)


@pytest.mark.parametrize("lives", [True, False])
async def test_a_host_that_died_in_the_middle_of_a_procedure_is_not_said_to_go_on(
    lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers(_: Host) -> bool:
        return lives

    monkeypatch.setattr(procedure, "_answers", answers)
    host = Host(TARGET, cast(asyncssh.SSHClientConnection, None), root=True)
    told = await procedure._lost(host, "switchover", spec_with("root@oslo"))
    assert told.slug == "session-lost" and told.exit == Exit.HALFWAY and told.hint
    assert ("goes on there by itself" in told.message) == lives
    assert ("it may be that neither site serves" in told.message) == (not lives)
    assert ("on bergen: secondsite guard --allow" in told.hint) == (not lives)
