"""The file sets: the copy becomes the original."""

from __future__ import annotations

from secondsite.events import Emit
from secondsite.files.engine import demote, promote
from secondsite.recovery.acts.context import Act
from secondsite.recovery.step import Details


class FilesWritable(Act):
    """From now on the copies here are the originals: no pull may write over what the application writes."""

    name = "files-writable"
    title = "Make the file sets writable"
    needs = ("files",)

    async def apply(self, emit: Emit) -> Details:
        for fileset in self._context.spec.files:
            await promote(fileset)
        return {"sets": [fileset.name for fileset in self._context.spec.files]}

    async def undo(self) -> None:
        for fileset in self._context.spec.files:
            await demote(fileset)
