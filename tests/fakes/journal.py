"""A journal on a disk that is full from some record on."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from secondsite.recovery.journal import Journal, Kind, Record


class FullDisk(Journal):
    """No record fits any more from the intent or result of ``since`` on."""

    since: ClassVar[tuple[Kind, str]] = (Kind.INTENT, "look")
    full = False

    def append(self, kind: Kind, body: Mapping[str, Any]) -> Record:
        self.full = self.full or (kind, body.get("step")) == self.since
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        return super().append(kind, body)
