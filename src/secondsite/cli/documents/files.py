"""The JSON documents of ``secondsite files``, as types: their published schemas are made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from secondsite.cli.documents.words import Moment


class VersionDocument(TypedDict):
    """A version of a file set."""

    id: str
    kind: Annotated[str, Field(description="how it is kept: snapshot, reflink, links or zfs")]
    as_of: Annotated[str, Field(description="RFC 3339 in UTC: the moment whose files it holds")]
    made_at: Moment
    entries: Annotated[int | None, Field(description="files, folders and links; null where they are not counted (zfs)")]
    bytes: Annotated[int, Field(description="by zfs: what the snapshot refers to in the pool")]
    snapshot: NotRequired[Annotated[str | None, Field(description="its full name, where it is one of ZFS")]]


class VersionAtDocument(VersionDocument):
    """A version, and where it is kept."""

    site: str


class StateDocument(TypedDict):
    """How a path was, from one version to another."""

    site: str
    version: str
    at: Moment
    last_version: str
    last_at: Moment
    there: bool
    kind: Annotated[Literal["file", "folder", "link"] | None, Field(description="null where it was not there")]
    bytes: int | None
    modified_at: Moment | None
    mode: Annotated[str | None, Field(description="octal")]
    owner: Annotated[str | None, Field(description="numbers of user and group, UID:GID")]


class EntryDocument(TypedDict):
    """A path at one moment; null everywhere where it was not there."""

    kind: Literal["file", "folder", "link"] | None
    bytes: int | None
    modified_at: Moment | None
    mode: str | None
    owner: str | None


class FilesListDocument(TypedDict):
    """`secondsite files list --json`."""

    set: str
    folder: str
    path: Annotated[str | None, Field(description="what --path named; null without it")]
    versions: Annotated[list[VersionAtDocument], Field(description="the oldest of each site first")]
    states: Annotated[list[StateDocument], Field(description="of the path, the oldest of each site first")]
    silent: Annotated[dict[str, str], Field(description="sites that could not be asked, and why")]


class DifferenceDocument(TypedDict):
    """A path that differs."""

    path: str
    change: Literal["added", "removed", "changed"]
    what: Annotated[list[str], Field(description="kind, size, time, mode, owner, attributes, target, links")]
    before: EntryDocument
    after: EntryDocument


class FilesDiffDocument(TypedDict("_From", {"from": VersionDocument})):
    """`secondsite files diff --json`."""

    site: str
    set: str
    to: Annotated[VersionDocument | None, Field(description="null: the folder as it is now")]
    path: str
    counts: dict[str, int]
    changes: Annotated[list[DifferenceDocument], Field(description="the first of them; counts has all")]


class FilesRestoreDocument(TypedDict):
    """`secondsite files restore --json`."""

    set: str
    site: Annotated[str, Field(description="whose version it is")]
    primary: Annotated[str | None, Field(description="where it was brought back to; null for a folder at the site")]
    version: VersionDocument
    path: str
    to: str
    files: Annotated[int, Field(description="at a primary: those that differed")]
    folders: int
    links: int
    bytes: int
    replaced: Annotated[int, Field(description="files that were moved aside")]
    aside: Annotated[str | None, Field(description="where they lie")]
    failed: Annotated[str | None, Field(description="what could not be brought back")]
    lost: Annotated[list[str], Field(description="written into since the version was made, so not restored")]
    lost_count: int
    sample: list[str]
    sample_replaced: NotRequired[Annotated[list[str], Field(description="of these, what is there and differs")]]
    without_rights: NotRequired[
        Annotated[int, Field(description="files that had set-id bits and are others now: no version has such bits")]
    ]
    blocked: NotRequired[Annotated[str | None, Field(description="why the copy was blocked before this")]]
    dry_run: bool


class FilesBandwidthDocument(TypedDict):
    """`secondsite files bandwidth --json`."""

    set: str
    site: Annotated[str, Field(description="the standby, which keeps to it")]
    bytes_per_second: Annotated[int | None, Field(description="null for no limit")]
    set_by: Annotated[str, Field(description="file, or command: it was set by this command")]
    in_file: Annotated[int | None, Field(description="bytes a second that the service's file names")]


DOCUMENTS: dict[str, Any] = {
    "files-bandwidth": FilesBandwidthDocument,
    "files-diff": FilesDiffDocument,
    "files-list": FilesListDocument,
    "files-restore": FilesRestoreDocument,
}
