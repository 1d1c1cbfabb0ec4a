"""`python -m secondsite_lab.guests`: build the guests' image, where it is not there."""

import sys

from secondsite_lab.errors import LabError
from secondsite_lab.guests.image import ensure


def main() -> None:
    """Exit codes: 0 it is there, 3 it could not be built."""
    try:
        made = ensure(lambda text: print(text, file=sys.stderr))
    except LabError as error:
        print(f"secondsite_lab.guests: {error.message}", file=sys.stderr)
        raise SystemExit(3) from None
    print(made.folder)


if __name__ == "__main__":
    main()
