"""Fetch the journals of a site's host, byte for byte: they are proven where they are read, not where they come from."""

from __future__ import annotations

import base64
import binascii
import io
import shlex
import tarfile
from pathlib import Path, PurePosixPath

from secondsite.errors import FinalError
from secondsite.remote.host import reach
from secondsite.remote.target import target_of
from secondsite.spec import Spec, paths

FETCH_SECONDS = 60.0
STEP = "fetch the journals"


async def fetch(spec: Spec, site: str, into: Path) -> None:
    """Copy every journal of ``site`` to the folder ``into``; none where no procedure has run there.

    Raises the SSH errors of ``remote``, and FinalError (``no-answer-from-host``) where what comes back is no archive.
    """
    folder = shlex.quote(str(paths.JOURNAL))
    async with reach(target_of(spec, site)) as host:
        script = f"[ ! -d {folder} ] || tar -C {folder} -cz . | base64"  # base64: the output is read as text
        done = await host.run(script, timeout=FETCH_SECONDS, step=STEP)
    try:
        unpack(done.stdout, into)
    except (binascii.Error, tarfile.TarError, EOFError, OSError) as strange:
        raise FinalError(
            f"the journals could not be read: {strange}",
            slug="no-answer-from-host",
            host=site,
            step=STEP,
            hint="log in there and run: secondsite journal",
        ) from strange


def unpack(encoded: str, into: Path) -> None:
    """The journals in an archive as files below ``into``. Names from the other end never lead out of it."""
    into.mkdir(parents=True, exist_ok=True)
    if not encoded.strip():
        return
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(encoded)), mode="r:gz") as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            content = archive.extractfile(member) if member.isfile() and name.endswith(".jsonl") else None
            if content is not None:
                (into / name).write_bytes(content.read())
