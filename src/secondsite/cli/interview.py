"""What ``init`` needs to know: from flags, from a person at a terminal, or everything that is missing at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network, ip_address
from typing import Any

from secondsite.cli.collect import Ask, Collector, contradiction, refused
from secondsite.cli.skeleton import KEY_FILE, Answers, Folder, Key, Record, Site, dns_ttl, pull_interval
from secondsite.cli.written import (
    Coordinates,
    folder_of,
    folder_refused,
    key_of,
    key_refused,
    record_of,
    record_refused,
)
from secondsite.spec import fields
from secondsite.spec.quantities import Seconds
from secondsite.spec.ssh import split_destination


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


def interview(flags: Flags, ask: Ask | None) -> Answers:
    """Everything the file needs. ``ask`` is None where there is no terminal. Raises UsageError where a flag is wrong,
    before anything is asked, and where something is missing and nobody can be asked."""
    if ask is not None:
        by_flags = _Interview(flags, Collector(None))
        by_flags.hold()
        by_flags.collector.missing.clear()  # it will be asked for
        by_flags.collector.finish()
    talk = _Interview(flags, Collector(ask))
    answers = talk.hold()
    talk.collector.finish()
    return answers


@dataclass(slots=True)
class _Interview:
    """One pass through the questions. known: what was said so far, as the file's data."""

    flags: Flags
    collector: Collector
    known: dict[str, Any] = field(default_factory=dict)

    def hold(self) -> Answers:
        flags, value = self.flags, self.collector.value
        if flags.network is not None:
            self.known["tunnel"] = {"network": flags.network}
        service = value("--service NAME", "Short name of the service", flags.service, fields.Name)
        self.known["service"] = {"name": service}
        units = self._units()
        health = self._health()
        rpo = value("--rpo", "How much work may be lost (RPO)", flags.rpo, Seconds, "1m")
        rto = value("--rto", "How long may the service be away (RTO)", flags.rto, Seconds, "5m")
        self.known["objectives"] = {"rpo": rpo, "rto": rto}
        sites = self._sites()
        shown = "PostgreSQL cluster, as pg_lsclusters shows it"
        cluster = value("--cluster VERSION/NAME", shown, flags.cluster, fields.Cluster)
        self.known["database"] = {"cluster": cluster}
        files, dns = self._files(rpo), self._dns(rto)
        key = self._key(asked=bool(dns))
        network = value(
            "--network", "Network of the tunnel", flags.network, IPv4Network, "10.10.0.0/24",
            lambda answer: contradiction(self.known, {**self.known, "tunnel": {"network": answer}}),
        )  # fmt: skip
        return Answers(service, units, health, rpo, rto, sites, cluster, files, dns, key, network)

    def _units(self) -> list[str]:
        def against(units: Sequence[str]) -> str | None:
            return self._against({"service": {**self.known["service"], "units": units}}, "service", "units")

        question = "systemd unit of the application (empty: no more)"
        units = self.collector.several("--units", question, self.flags.units, partial(refused, fields.Unit), against)
        self.known["service"]["units"] = units
        return units

    def _health(self) -> str | None:
        def against(answer: str) -> str | None:
            ports = {
                "database": {"cluster": "15/main"},
                "tunnel": {"network": "10.10.0.0/24"},
            }  # theirs are the defaults
            service = {**self.known["service"], "health": answer}
            return self._against({**ports, "service": service}, "service", "health")

        question = "URL on the host that answers 200 when the application works, like http://127.0.0.1:8000/health"
        return self.collector.optional("--health", f"{question} (empty: none)", self.flags.health, fields.Url, against)

    def _sites(self) -> list[Site]:
        sites: list[Site] = []
        for place, nth in enumerate(("first", "second")):
            given = self.flags.site[place] if place < len(self.flags.site) else None
            name, _, ssh = given.partition("=") if given is not None else (None, "", None)
            if given is None and self.collector.ask is None:
                self._missing_site(nth)
                continue
            taken = sites[0].name if sites else None
            question = f"Name of the {nth} site, like a town"
            if name is not None and (complaint := _twice(taken, name)):
                self.collector.flagged("--site", [complaint])
            name = self.collector.value("--site", question, name, fields.Name, "", partial(_twice, taken))
            sites.append(self._site(name, ssh))
        if len(self.flags.site) > 2:
            self.collector.wrong.append("--site: a service lives at exactly two sites")
        return sites

    def _missing_site(self, nth: str) -> None:
        flags = self.flags
        self.collector.missing.append(f"--site NAME=USER@HOST ({nth})")
        told = (("operator", flags.operator), ("country", flags.country), ("location", flags.location))
        self.collector.missing += [f"--{flag} of that site" for flag, values in told if _for_site(values, "") is None]

    def _site(self, name: str, ssh: str | None) -> Site:
        flags = self.flags
        # Complete from the start, so that a cross-check need not wait for the last answer about the place.
        said: dict[str, Any] = {
            "ssh": "root@host", "public": "192.0.2.1", "operator": "-", "country": "NO", "location": [0.0, 0.0],
        }  # fmt: skip

        def against(key: str, answer: str) -> str | None:
            site = {**said, key: answer} if key in ("ssh", "public") else said  # the others contradict nothing
            return self._against({"sites": {**self.known.get("sites", {}), name: site}}, "sites", name, key)

        def of(key: str, question: str, given: Iterable[str], kind: Any, default: str = "") -> str:
            shown, flag = f"{name}: {question}", f"--{key} {name}=VALUE"
            return self.collector.value(flag, shown, _for_site(given, name), kind, default, partial(against, key))

        ssh = said["ssh"] = self.collector.value(
            f"--site {name}=USER@HOST", f"{name}: SSH destination", ssh, fields.SshDestination, "",
            partial(against, "ssh"),
        )  # fmt: skip
        public = said["public"] = of(
            "public", "public IP address", flags.public, fields.PublicAddress, _address_in(ssh)
        )
        operator = of("operator", "who runs the place", flags.operator, fields.Text)
        country = of("country", "country code, like NO", flags.country, fields.Country)
        location = of("location", "latitude,longitude like 59.91,10.75", flags.location, Coordinates)
        self.known["sites"] = {**self.known.get("sites", {}), name: said}
        return Site(name, ssh, public, operator, country, location)

    def _files(self, rpo: str) -> list[Folder]:
        def data(texts: Sequence[str]) -> list[dict[str, Any]]:
            named = [{"name": name, "path": path} for name, path in map(folder_of, texts)]
            interval = pull_interval(rpo)
            return [{**one, "interval": interval} for one in named] if interval else named

        def against(texts: Sequence[str]) -> str | None:
            return self._against({"files": data(texts)}, "files", len(texts) - 1)

        question = "Folder to mirror, NAME=PATH (empty: no more)"
        texts = self.collector.several("--files", question, self.flags.files, folder_refused, against)
        self.known["files"] = data(texts) if self.collector.ask else []
        return [folder_of(text) for text in texts]

    def _dns(self, rto: str) -> list[Record]:
        def data(texts: Sequence[str]) -> list[dict[str, Any]]:
            return [{**record_of(text)._asdict(), "ttl": dns_ttl(rto)} for text in texts]

        def against(texts: Sequence[str]) -> str | None:
            return self._against({"dns": data(texts)}, "dns", len(texts) - 1)

        question = "DNS record, NAME@ZONE=SERVER, like shop@example.no=203.0.113.53 (empty: no more)"
        texts = self.collector.several("--dns", question, self.flags.dns, record_refused, against)
        self.known["dns"] = data(texts) if self.collector.ask else []
        return [record_of(text) for text in texts]

    def _key(self, *, asked: bool) -> Key | None:
        """The key that signs updates: name and file, never the secret. Asked for where there is a record to move."""
        if self.flags.tsig is not None:
            self.collector.flagged("--tsig", key_refused(self.flags.tsig))
            return key_of(self.flags.tsig)
        if not asked or self.collector.ask is None:
            return None
        question = (
            "Name of the TSIG key that signs DNS updates, as the DNS server knows it (empty: updates are not signed)"
        )
        named = self.collector.optional("--tsig", question, None, fields.Domain)
        if named is None:
            return None
        question = "File on both hosts that holds the key's base64 secret, readable by root only"
        return Key(named, self.collector.value("--tsig", question, None, fields.SecretFile, KEY_FILE))

    def _against(self, new: dict[str, Any], *about: str | int) -> str | None:
        return contradiction(self.known, {**self.known, **new}, about)


def _twice(taken: str | None, name: str) -> str | None:
    return f"both sites would be called {name}; give each its own name" if name == taken else None


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
