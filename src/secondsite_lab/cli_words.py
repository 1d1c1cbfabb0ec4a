"""What all commands of `secondsite-lab` share."""

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

Suite = Literal["bookworm", "trixie"]
Storage = Literal["btrfs", "overlay"]
Name = Annotated[str, Parameter(name="--name", help="Which lab; several can run side by side.")]


def tell(message: str) -> None:
    """Progress goes to stderr, so that stdout stays one document."""
    print(message, file=sys.stderr, flush=True)
