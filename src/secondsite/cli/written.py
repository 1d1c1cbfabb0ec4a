"""Answers that say several things at once: NAME=PATH, NAME@ZONE=SERVER, KEYNAME=FILE, latitude,longitude."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from secondsite.cli.collect import refused
from secondsite.cli.skeleton import Folder, Key, Record
from secondsite.spec import fields, folders
from secondsite.spec.faults import refuse


def folder_of(text: str) -> Folder:
    """NAME=PATH; what does not fit is told by ``folder_refused``."""
    name, _, path = text.partition("=")
    return Folder(name, path)


def folder_refused(text: str) -> list[str]:
    """Pure: what is wrong with a file set as written; empty where nothing is."""
    if "=" not in text:
        return [f"{text!r} is not NAME=PATH, like uploads=/var/www/html/uploads"]
    name, path = folder_of(text)
    return [*refused(fields.Name, name), *refused(folders.Folder, path)]


def record_of(text: str) -> Record:
    """NAME@ZONE=SERVER; what does not fit is told by ``record_refused``."""
    front, _, server = text.rpartition("=")
    name, _, zone = front.rpartition("@")
    return Record(name, zone, server)


def record_refused(text: str) -> list[str]:
    """Pure: what is wrong with a record as written; empty where nothing is."""
    front, equals, _ = text.rpartition("=")
    if not equals or "@" not in front:
        return [f"{text!r} is not NAME@ZONE=SERVER, like shop@example.no=203.0.113.53"]
    name, zone, server = record_of(text)
    return [*refused(fields.RecordName, name), *refused(fields.Domain, zone), *refused(fields.Server, server)]


def key_of(text: str) -> Key:
    """KEYNAME=FILE; what does not fit is told by ``key_refused``."""
    name, _, file = text.partition("=")
    return Key(name, file)


def key_refused(text: str) -> list[str]:
    """Pure: what is wrong with a key as written; empty where nothing is."""
    if "=" not in text:
        return ["write KEYNAME=FILE, the file that holds the secret on the hosts"]
    name, file = key_of(text)
    return [*refused(fields.Domain, name), *refused(fields.SecretFile, file)]


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
