"""What is read of other programs' and other sites' words, and what is not believed."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.errors import FinalError
from secondsite.files.zfs import ask, names, parse, stream
from secondsite.files.zfs.model import Dataset, Snapshot, Tree
from secondsite.files.zfs.offered import to_json
from secondsite.files.zfs.stream import Head

OLD_SEND = "missing snapshot argument\nusage:\n\tsend [-RDp] [-[iI] snapshot] <snapshot>\n"
OLD_RECEIVE = "usage:\n\treceive [-vnF] <filesystem|volume|snapshot>\n\treceive [-vnF] -d <filesystem>\n"
OLD_SNAPSHOT = "usage:\n\tsnapshot [-r] [-o property=value] ... <filesystem@snapname|volume@snapname>\n"
NEW_SEND = "usage:\n\tsend [-DLPbcehnpsVvw] [-i|-I snapshot]\n\t     [-R [-X dataset[,dataset]...]]     <snapshot>\n"
NEW_RECEIVE = (
    "usage:\n\treceive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ...\n\t    <filesystem|volume|snapshot>\n"
)
NEW_SNAPSHOT = "usage:\n\tsnapshot [-r] [-o property=value] ... <filesystem|volume>@<snap> ...\n"
UNKNOWN = "unrecognized command 'bookmark'\n"


def test_what_zfs_can_is_read_from_what_it_says_of_itself() -> None:
    old = parse.features(OLD_SEND, OLD_RECEIVE, OLD_SNAPSHOT, UNKNOWN, UNKNOWN)
    assert (old.send, old.resume, old.exclude, old.bookmarks, old.many, old.sync) == ("", *[False] * 5)
    new = parse.features(NEW_SEND, NEW_RECEIVE, NEW_SNAPSHOT, "missing source\nusage:\n", "usage:\n")
    assert (new.send, new.resume, new.exclude, new.bookmarks, new.many, new.sync) == ("Lecw", *[True] * 5)


def record(kind: int = 0, version: int = 1, what: int = 2, to: int = 7, base: int = 5, order: str = "<") -> bytes:
    packed = struct.pack(f"{order}IIQQQIIQQ", kind, 0, 0x2F5BACBAC, version, 0, what, 0, to, base)
    return packed.ljust(stream.BYTES, b"\0")


def test_only_the_head_of_one_plain_file_system_is_one() -> None:
    assert stream.head(record()) == stream.head(record(order=">")) == Head(7, 5)
    assert stream.head(record(version=1 | 0x4 << 2)) == Head(7, 5)
    assert stream.head(record(version=2)) is None  # a package: zfs send -R
    assert stream.head(record(what=3)) is None  # a volume
    assert stream.head(record(kind=1)) is None
    assert stream.head(record()[:-1]) is None


@given(st.binary(max_size=400))
def test_nothing_else_is_taken_for_a_head(raw: bytes) -> None:
    assert stream.head(raw) is None


GOOD = to_json(Tree("a", (Dataset("", 1, (Snapshot("s", 2, 3),)), Dataset("kid", 4))))


def test_a_listing_is_read_as_it_was_told() -> None:
    read = ask.read(json.loads(json.dumps({"at": 5.0, "tree": GOOD, "problem": None})))
    assert [(each.path, each.guid) for each in read.tree.datasets] == [("", 1), ("kid", 4)]
    assert read.tree.datasets[0].snapshots == (replace(Snapshot("s", 2, 3)),)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../up"},
        {"path": "/etc"},
        {"path": "kid//deep"},
        {"path": "-r"},
        {"path": "kid@s"},
        {"path": "no/parent"},
        {"path": f"up{names.INCOMING}"},
        {"path": ""},
        {"guid": "-1"},
        {"guid": str(2**64)},
        {"guid": None},
        {"guid": 1.5},
        {"snapshots": "many"},
        {"snapshots": [{"name": "a b@c", "guid": "1", "txg": 1, "created": 1, "bookmark": False}]},
        {"snapshots": [{"name": "-F", "guid": "1", "txg": 1, "created": 1, "bookmark": False}]},
        {"snapshots": [7]},
    ],
)
def test_a_listing_of_a_hostile_source_is_refused_whole(change: dict[str, object]) -> None:
    with pytest.raises(FinalError) as refused:
        ask.read({"at": 5.0, "tree": [GOOD[0], {**GOOD[1], **change}], "problem": None})
    assert refused.value.slug == "zfs-refused"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_is_no_listing_is_refused_with_words(rubbish: object) -> None:
    with pytest.raises(FinalError):
        ask.read({"at": 5.0, "tree": rubbish})


def test_the_text_of_a_token_names_its_snapshot() -> None:
    said = "resume token contents:\nnvlist version: 0\n\tobject = 0x2\n\ttoguid = 0xff\n\ttoname = tank/up@s 1\n"
    assert (parse.token_guid(said), parse.token_name(said)) == (255, "tank/up@s 1")
    assert (parse.token_guid("cannot resume send"), parse.token_name("")) == (None, None)


def test_a_view_of_the_disk_that_is_read_only_makes_no_dataset_read_only() -> None:
    """The watcher's unit has one, and there every mounted dataset says so."""
    told = "tank/up\ttype\tfilesystem\t-\ntank/up\treadonly\t{}\ttank/up\tguid\t5\t-\n"
    for said, readonly in (("on\ttemporary\n", False), ("on\tlocal\n", True), ("off\tdefault\n", False)):
        (dataset,) = parse.tree("tank/up", parse.table(told.replace("{}\t", said)), "gone").datasets
        assert (dataset.readonly, dataset.guid) == (readonly, 5)
