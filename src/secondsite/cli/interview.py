"""What ``init`` needs to know: from flags, from a person at a terminal, or everything that is missing at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from secondsite.cli.skeleton import Answers, Folder, Key, Record, Site
from secondsite.errors import UsageError
from secondsite.spec import fields, folders
from secondsite.spec.explain import in_words
from secondsite.spec.faults import refuse
from secondsite.spec.quantities import Seconds
from secondsite.spec.ssh import split_destination

_RECORD = "NAME@ZONE=SERVER, like shop@example.no=203.0.113.53"
Ask = Callable[[str, str], str]  # question, default -> answer


@dataclass(frozen=True, slots=True)
class Flags:
    """The command line, as given. Values for one site are written NAME=VALUE, for both just VALUE."""

    service: str | None = None
    site: Sequence[str] = ()
    public: Sequence[str] = ()
    operator: Sequence[str] = ()
    country: Sequence[str] = ()
    location: Sequence[str] = ()
    cluster: str | None = None
    units: Sequence[str] = ()
    health: str | None = None
    files: Sequence[str] = ()
    dns: Sequence[str] = ()
    tsig: str | None = None
    rpo: str | None = None
    rto: str | None = None
    network: str | None = None


@dataclass(slots=True)
class Collector:
    """Takes each value from where it can be had, and remembers what could not."""

    ask: Ask | None
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def value(self, flag: str, question: str, given: str | None, kind: Any, default: str = "") -> str:
        """One required value; a person is asked again until the answer fits."""
        if given is not None:
            if (complaint := refusal(kind, given)) is not None:
                self.wrong.append(f"{flag}: {complaint}")
            return given
        if self.ask is None:
            if not default:
                self.missing.append(flag)
            return default
        hint = ""
        while True:
            answer = self.ask(f"{hint}{question}", default)
            complaint = refusal(kind, answer)
            if complaint is None:
                return answer
            hint = f"{complaint}\n"

    def several(self, given: Sequence[str], question: str) -> list[str]:
        """Optional values; a person ends the list with an empty answer."""
        answers = list(given)
        while self.ask is not None and not given and (answer := self.ask(question, "")):
            answers.append(answer)
        return answers

    def finish(self) -> None:
        """Raises UsageError that names every flag which is missing or wrong."""
        if not self.missing and not self.wrong:
            return
        told = list(self.wrong)
        if self.missing:
            told.append("there is no terminal to ask at, and these are missing: " + ", ".join(self.missing))
        raise UsageError("\n".join(told), slug="init-incomplete", hint="secondsite init --help")


def interview(flags: Flags, ask: Ask | None) -> Answers:
    """Everything the file needs. ``ask`` is None where there is no terminal."""
    with_whom = Collector(ask)
    service = with_whom.value("--service NAME", "Short name of the service", flags.service, fields.Name)
    units = with_whom.several(flags.units, "systemd unit of the application (empty: no more)")
    for unit in units:
        with_whom.value("--units", "", unit, fields.Unit)
    health = flags.health
    if health is not None:
        with_whom.value("--health", "", health, fields.Url)
    rpo = with_whom.value("--rpo", "How much work may be lost (RPO)", flags.rpo, Seconds, "1m")
    rto = with_whom.value("--rto", "How long may the service be away (RTO)", flags.rto, Seconds, "5m")
    sites = _sites(with_whom, flags)
    cluster = with_whom.value(
        "--cluster VERSION/NAME", "PostgreSQL cluster, as pg_lsclusters shows it", flags.cluster, fields.Cluster
    )
    files = [
        _folder(with_whom, text)
        for text in with_whom.several(flags.files, "Folder to mirror, NAME=PATH (empty: no more)")
    ]
    dns = [
        _record(with_whom, text)
        for text in with_whom.several(
            flags.dns, "DNS record, NAME@ZONE=SERVER, like shop@example.no=203.0.113.53 (empty: no more)"
        )
    ]
    key = _key(with_whom, flags.tsig) if flags.tsig is not None else None
    network = with_whom.value("--network", "Network of the tunnel", flags.network, IPv4Network, "10.10.0.0/24")
    with_whom.finish()
    return Answers(service, units, health, rpo, rto, sites, cluster, files, dns, key, network)


def _sites(with_whom: Collector, flags: Flags) -> list[Site]:
    sites = []
    for place, nth in enumerate(("first", "second")):
        given = flags.site[place] if place < len(flags.site) else None
        name, _, ssh = given.partition("=") if given is not None else (None, "", None)
        if given is None and with_whom.ask is None:
            with_whom.missing.append(f"--site NAME=USER@HOST ({nth})")
            told = (("operator", flags.operator), ("country", flags.country), ("location", flags.location))
            with_whom.missing += [f"--{flag} of that site" for flag, values in told if _for_site(values, "") is None]
            continue
        name = with_whom.value("--site", f"Name of the {nth} site, like a town", name, fields.Name)
        ssh = with_whom.value(f"--site {name}=USER@HOST", f"{name}: SSH destination", ssh, fields.SshDestination)
        sites.append(_site(with_whom, flags, name, ssh))
    if len(flags.site) > 2:
        with_whom.wrong.append("--site: a service lives at exactly two sites")
    return sites


def _site(with_whom: Collector, flags: Flags, name: str, ssh: str) -> Site:
    def of(flag: str, question: str, given: Iterable[str], kind: Any, default: str = "") -> str:
        shown = f"--{flag} {name}=VALUE"
        return with_whom.value(shown, f"{name}: {question}", _for_site(given, name), kind, default)

    return Site(
        name=name,
        ssh=ssh,
        public=of("public", "public IP address", flags.public, fields.PublicAddress, _address_in(ssh)),
        operator=of("operator", "who runs the place", flags.operator, fields.Text),
        country=of("country", "country code, like NO", flags.country, fields.Country),
        location=of("location", "latitude,longitude like 59.91,10.75", flags.location, Coordinates),
    )


def _for_site(given: Iterable[str], name: str) -> str | None:
    """The value for one site: NAME=VALUE wins over a bare VALUE that is meant for both; the last wins."""
    named = both = None
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            both = text
        elif key == name:
            named = value
    return both if named is None else named


def _address_in(ssh: str) -> str:
    try:
        return str(ip_address(split_destination(ssh)[1]))
    except ValueError:
        return ""


def _folder(with_whom: Collector, text: str) -> Folder:
    name, equals, path = text.partition("=")
    if not equals:
        with_whom.wrong.append(f"--files: {text!r} is not NAME=PATH")
    with_whom.value("--files", "", name, fields.Name)
    with_whom.value("--files", "", path, folders.Folder)
    return Folder(name, path)


def _record(with_whom: Collector, text: str) -> Record:
    front, equals, server = text.rpartition("=")
    name, at, zone = front.rpartition("@")
    if not equals or not at:
        with_whom.wrong.append(f"--dns: {text!r} is not NAME@ZONE=SERVER")
        return Record("", "", "")
    with_whom.value("--dns", "", name, fields.RecordName)
    with_whom.value("--dns", "", zone, fields.Domain)
    with_whom.value("--dns", "", server, fields.Server)
    return Record(name, zone, server)


def _key(with_whom: Collector, text: str) -> Key:
    name, equals, path = text.partition("=")
    if not equals:
        with_whom.wrong.append("--tsig: write KEYNAME=FILE, the file that holds the secret on the hosts")
    else:
        with_whom.value("--tsig", "", name, fields.Domain)
        with_whom.value("--tsig", "", path, fields.SecretFile)
    return Key(name, path)


def _coordinates(text: str) -> str:
    parts = text.split(",")
    try:
        latitude, longitude = (float(part) for part in parts)
    except ValueError:
        raise refuse(f'"{text}" is no place', 'write latitude,longitude like "59.91,10.75"') from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise refuse(f'"{text}" is not on the earth', "latitude comes first, -90 to 90; longitude is -180 to 180")
    return text


Coordinates = Annotated[str, AfterValidator(_coordinates)]


def refusal(kind: Any, text: str) -> str | None:
    """Why a value does not fit, in one sentence; None where it does."""
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError as wrong:
        return in_words(wrong)
    return None
