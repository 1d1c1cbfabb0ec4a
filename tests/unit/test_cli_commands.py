"""validate, schema, completion and init, as a person and a program use them."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondsite.cli.interview import Flags, interview
from secondsite.cli.main import main
from secondsite.cli.schemas import conforms, names, schema_of
from secondsite.cli.skeleton import quoted, skeleton
from secondsite.errors import UsageError
from secondsite.spec.faults import SpecFaults
from secondsite.spec.load import load, loads

FAULTS = Path(__file__).parent / "spec_faults"
FLAGS = [
    "--service", "shop", "--site", "oslo=root@192.0.2.11", "--site", "bergen=root@bergen",
    "--public", "bergen=198.51.100.11", "--operator", "oslo=Example AS", "--operator", "bergen=Other AS",
    "--country", "NO", "--location", "oslo=59.91,10.75", "--location", "bergen=60.39,5.32",
    "--cluster", "15/main", "--files", "uploads=/var/www/html/uploads", "--units", "shop.service",
    "--dns", "shop@example.no=203.0.113.53", "--tsig", "shop-key=/etc/secondsite/tsig.key",
    "--health", "http://127.0.0.1:8000/health", "--rpo", "30s", "--rto", "2m",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())


def test_validate_prints_each_fault_as_file_line_place_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FAULTS / "mistyped_key.toml", "secondsite.toml")
    assert main(["validate"]) == 2
    assert capsys.readouterr().out.splitlines() == [
        'secondsite.toml:14: sites.oslo.contry: unknown key "contry"',
        '    hint: did you mean "country"?',
        "secondsite.toml has 1 fault",
    ]


def test_validate_tells_programs_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--config", str(FAULTS / "ten_faults.toml"), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    conforms("validate", document)
    assert document["valid"] is False
    assert len(document["faults"]) == 10
    assert document["sha256"] is None


def test_validate_sums_a_sound_file_up_in_one_line_and_warns_on_the_side(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["init", *FLAGS[:-8], "--rpo", "30s"]) == 0
    capsys.readouterr()
    assert main(["validate"]) == 0
    out, err = capsys.readouterr()
    assert out == (
        "secondsite.toml is sound: shop at oslo and bergen, PostgreSQL 15/main, 1 file set, 1 DNS record, "
        "RPO 30s, RTO 5m\n"
    )
    assert err.startswith("warning: secondsite.toml:")


def test_validate_takes_the_file_with_and_without_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *FLAGS, "--output", "ok.toml"]) == 0
    capsys.readouterr()
    assert main(["validate", "ok.toml"]) == 0
    alone = capsys.readouterr().out
    assert alone.startswith("ok.toml is sound: ")
    assert main(["validate", "--config", "ok.toml"]) == main(["--config", "ok.toml", "validate", "ok.toml"]) == 0
    assert capsys.readouterr().out == alone * 2
    assert main(["validate", "ok.toml", "--config", "other.toml"]) == 2
    assert "ok.toml and --config other.toml name two files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["plan", "ok.toml"], "secondsite plan --config ok.toml"),
        (["apply", "--yes", "ok.toml"], "secondsite apply --yes --config ok.toml"),
        (["status", "ok.toml", "--json"], "secondsite status --json --config ok.toml"),
        (
            ["files", "allow-deletions", "uploads", "ok.toml"],
            "secondsite files allow-deletions uploads --config ok.toml",
        ),
        (["init", "ok.toml"], "secondsite init --output ok.toml"),
        (["failover", "bergen"], "secondsite failover --to bergen"),
        (["plan", "bergen"], "secondsite plan --help"),
        (["plan", "one", "two.toml"], "secondsite plan --help"),
        (["status", "--watcj"], "secondsite status --help"),
    ],
)
def test_a_word_that_stands_alone_is_told_with_the_spelling_that_was_meant(
    typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)["hint"] if "--json" in typed else err.splitlines()[1].strip().removeprefix("next: ")
    assert told == meant
    assert "Unused Tokens" not in err + out


def test_any_command_that_meets_a_bad_file_tells_its_faults_as_an_error() -> None:
    with pytest.raises(SpecFaults) as caught:
        load(FAULTS / "secret_inline.toml")
    conforms("error", caught.value.as_json())


@pytest.mark.parametrize("name", names())
def test_every_schema_is_json_schema_with_a_title(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == f"secondsite {name}"
    assert schema["type"] == "object"
    assert schema["required"]


def test_schema_lists_its_names_and_refuses_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out.split() == names()
    assert main(["schema", "nonsense"]) == 2


def test_the_schema_of_the_file_describes_every_key_and_forbids_others() -> None:
    schema = schema_of("file")
    for name, section in schema["$defs"].items():
        assert section["additionalProperties"] is False, name
        undescribed = [key for key, value in section["properties"].items() if "description" not in value]
        assert not undescribed, (name, undescribed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "validate" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=20)


def test_init_writes_by_flags_a_file_that_is_sound_and_commented(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *FLAGS]) == 0
    loaded = load(Path("secondsite.toml"))
    assert loaded.warnings == ()
    spec = loaded.spec
    assert spec.site_names == ("oslo", "bergen")
    assert str(spec.sites["oslo"].public) == "192.0.2.11"  # taken from the SSH destination
    assert spec.sites["bergen"].operator == "Other AS"
    assert (spec.objectives.rpo, spec.objectives.rto) == (30, 120)
    assert spec.dns[0].tsig is not None
    assert spec.residency.allowed_countries == ("NO",)
    assert "# " in loaded.text
    assert "secondsite validate" in capsys.readouterr().out


def test_init_tells_programs_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *FLAGS, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    conforms("init", document)
    assert document["sha256"] == load(Path("secondsite.toml")).sha256


def test_init_never_writes_over_a_file_and_moves_it_aside_only_when_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secondsite.toml").write_text("mine")
    assert main(["init", *FLAGS]) == 2
    assert "already there" in capsys.readouterr().err
    assert (tmp_path / "secondsite.toml").read_text() == "mine"
    assert main(["init", *FLAGS, "--force"]) == 0
    (aside,) = tmp_path.glob("secondsite.toml.*.old")
    assert aside.read_text() == "mine"
    assert main(["init", *FLAGS, "--force"]) == 0
    assert len(list(tmp_path.glob("secondsite.toml.*.old"))) == 2


def test_init_without_a_terminal_names_every_missing_flag_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--site", "oslo=root@oslo", "--country", "NO"]) == 2
    told = capsys.readouterr().err
    for flag in ("--service", "--public oslo", "--operator oslo", "--location oslo", "--site NAME", "--cluster"):
        assert flag in told
    assert "--country" not in told
    assert not Path("secondsite.toml").exists()


def test_init_names_every_flag_that_does_not_fit_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--country", "oslo=XX", "--location", "oslo=100,5", "--files", "uploads", "--dns", "shop"]
    assert main(["init", *FLAGS, *wrong, "--network", "nonsense"]) == 2
    told = capsys.readouterr().err
    for flag in ("--country oslo", "--location oslo", "--files", "--dns", "--network"):
        assert flag in told


def test_init_refuses_what_only_a_crosscheck_can_see(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *FLAGS, "--network", "198.51.100.0/24"]) == 2
    assert "sites.bergen.public: 198.51.100.11 lies inside tunnel.network" in capsys.readouterr().err
    assert not Path("secondsite.toml").exists()


def test_init_needs_a_folder_to_write_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *FLAGS, "--output", "absent/x.toml"]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_person_is_asked_only_for_what_is_missing_and_again_until_it_fits() -> None:
    asked: list[str] = []
    answers = {
        "Short name": ["Shop!", "shop"],
        "first site": ["oslo"],
        "second site": ["bergen"],
        "oslo: SSH": ["root@192.0.2.11"],
        "bergen: SSH": ["root@198.51.100.11"],
        "who runs": ["Example AS", "Other AS"],
        "latitude": ["59.91,10.75", "somewhere", "60.39,5.32"],
        "PostgreSQL cluster": ["15/main"],
        "Folder to mirror": ["uploads=/srv/uploads", ""],
    }

    def ask(question: str, default: str) -> str:
        asked.append(question)
        given = next((given for part, given in answers.items() if part in question), [])
        return given.pop(0) if given else default

    text = skeleton(interview(Flags(country=("NO",)), ask))
    spec = loads(text.encode(), Path("x")).spec
    assert (spec.service.name, spec.site_names) == ("shop", ("oslo", "bergen"))
    assert [str(files.path) for files in spec.files] == ["/srv/uploads"]
    assert not any("country" in question for question in asked)
    assert any(question.startswith('"Shop!" is no name') for question in asked)


GOOD = {
    "Short name": "shop", "unit of": "", "200 when": "", "RPO": "", "RTO": "",
    "first site": "oslo", "oslo: SSH": "root@192.0.2.11", "oslo: public": "", "oslo: who": "Example AS",
    "oslo: country": "NO", "oslo: lat": "59.91,10.75",
    "second site": "bergen", "bergen: SSH": "root@198.51.100.11", "bergen: public": "", "bergen: who": "Other AS",
    "bergen: country": "NO", "bergen: lat": "60.39,5.32",
    "cluster": "15/main", "Folder": "", "DNS record": "", "TSIG": "", "base64": "", "Network": "",
}  # fmt: skip


class Person:
    """Answers what stands in ``GOOD``, but for the questions of which each answer is given, in order."""

    def __init__(self, **first: list[str]) -> None:
        self.first = {key.replace("_", " "): list(said) for key, said in first.items()}
        self.asked: list[str] = []

    def __call__(self, question: str, default: str) -> str:
        self.asked.append(question)
        last = question.rpartition("\n")[2]
        said = next((said for part, said in self.first.items() if part in last and said), None)
        return (said.pop(0) if said else next(said for part, said in GOOD.items() if part in last)) or default

    def told(self) -> list[str]:
        """What was said about answers that did not fit."""
        return [question.partition("\n")[0] for question in self.asked if "\n" in question]


BAD_ANSWERS = [
    ("unit of", ["shop.service", "shop", "shop.service", ""],
     ["must end in .service", "unit shop.service stands twice"]),
    ("200 when", ["shop.example.no", "http://127.0.0.1:5432/", ""],
     ["is no http or https URL", "port 5432 is already"]),
    ("second site", ["oslo", "bergen"], ["both sites would be called oslo"]),
    ("bergen: SSH", ["root@192.0.2.11", "root@198.51.100.11"], ["reached at the same SSH destination"]),
    ("bergen: public", ["192.0.2.11", ""], ["the same public address"]),
    ("Folder", ["uploads", "a=/etc", "a=/srv/a", "a=/srv/b", "b=/srv/a/b", "b=/var/lib/postgresql", ""],
     ["is not NAME=PATH", "/etc is a system folder", "file set a stands twice", "overlaps /srv/a", "PostgreSQL keeps"]),
    ("DNS record", ["shop", "shop@example.no=ns1", "shop.example.no@example.no=203.0.113.53",
                    "shop@example.no=203.0.113.53", "SHOP@example.no.=203.0.113.53", ""],
     ["is not NAME@ZONE=SERVER", "is no address of a DNS server", 'did you mean "shop"?', "stands twice"]),
    ("Network", ["10.10.0.1/24", "198.51.100.0/24", "10.10.0.0/31", "127.0.0.0/8", ""],
     ['did you mean "10.10.0.0/24"?', "lies inside tunnel.network", "no room for two sites", "loopback"]),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answers", "complaints"), BAD_ANSWERS, ids=[case[0] for case in BAD_ANSWERS])
def test_each_answer_is_judged_when_it_is_given_as_validate_would_and_asked_for_again(
    question: str, answers: list[str], complaints: list[str]
) -> None:
    person = Person(**{question: answers})
    loads(skeleton(interview(Flags(), person)).encode(), Path("x"))
    assert len(person.told()) == len(complaints), person.told()
    for told, complaint in zip(person.told(), complaints, strict=True):
        assert complaint in told


def test_a_person_is_asked_for_the_health_url_and_the_key_and_may_leave_both_out() -> None:
    person = Person(**{
        "200 when": ["http://127.0.0.1:8000/health"], "DNS record": ["shop@example.no=203.0.113.53"],
        "TSIG": ["shop-key"], "base64": ["tsig.key", ""],
    })  # fmt: skip
    spec = loads(skeleton(interview(Flags(), person)).encode(), Path("x")).spec
    assert spec.service.health == "http://127.0.0.1:8000/health"
    assert spec.dns[0].tsig is not None
    assert (spec.dns[0].tsig.name, str(spec.dns[0].tsig.secret.file)) == ("shop-key", "/etc/secondsite/tsig.key")
    assert "is no absolute path" in person.told()[0]
    without = loads(
        skeleton(interview(Flags(dns=("shop@example.no=203.0.113.53",)), Person())).encode(), Path("x")
    ).spec
    assert (without.service.health, without.dns[0].tsig) == (None, None)


def test_nobody_is_asked_for_the_key_of_a_record_that_is_not_there() -> None:
    person = Person()
    interview(Flags(), person)
    assert not any("TSIG" in question for question in person.asked)


def test_a_wrong_flag_is_told_before_anything_is_asked() -> None:
    person = Person()
    with pytest.raises(UsageError, match="--cluster"):
        interview(Flags(cluster="main"), person)
    assert person.asked == []


def test_an_objective_below_what_is_usual_gets_a_ttl_and_an_interval_that_can_meet_it() -> None:
    flags = Flags(rpo="1s", rto="30s", files=("a=/srv/a",), dns=("shop@example.no=203.0.113.53",))
    spec = loads(skeleton(interview(flags, Person())).encode(), Path("x")).spec
    assert (spec.dns[0].ttl, spec.files[0].interval) == (30, 1.0)


def test_init_says_where_the_secret_of_the_dns_key_has_to_lie(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *FLAGS]) == 0
    said = capsys.readouterr().out
    assert "secret of the DNS key shop-key into /etc/secondsite/tsig.key on both hosts" in said


def test_two_sites_of_one_name_are_told_as_such() -> None:
    with pytest.raises(UsageError, match="both sites would be called oslo"):
        interview(Flags(site=("oslo=a", "oslo=b")), None)


def test_without_anyone_to_ask_the_interview_is_refused() -> None:
    with pytest.raises(UsageError, match="no terminal to ask at"):
        interview(Flags(), None)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_person_answers_is_quoted_so_that_it_is_read_back(text: str) -> None:
    assert tomllib.loads(f"answer = {quoted(text)}") == {"answer": text}
