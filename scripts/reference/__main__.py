"""`python -m scripts.reference` writes the pages; `--check` only tells whether they are as the code says."""

import sys

from scripts.reference.errors import unexplained
from scripts.reference.pages import REFERENCE, pages


def main(arguments: list[str]) -> int:
    """Write every page that differs, or name it."""
    check = arguments == ["--check"]
    if arguments and not check:
        print("usage: python -m scripts.reference [--check]", file=sys.stderr)
        return 2
    differing = []
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.exists() or path.read_text() != text:
            differing.append(path.name)
            if not check:
                path.write_text(text)
    if differing:
        print(f"{'not as the code says' if check else 'written'}: {', '.join(differing)}")
    missing = unexplained()
    if missing:
        print(f"src/secondsite/errors.toml does not explain: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing or (check and differing) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
