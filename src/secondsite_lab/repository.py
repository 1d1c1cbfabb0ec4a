"""A package repository inside the image, so that hosts without internet still go through the real apt-get."""

import hashlib
from pathlib import Path

from secondsite_lab.run import run

PLACE = "var/local/secondsite-lab/repo"


def create(root: Path) -> None:
    """Turn the packages that were downloaded but not installed into the only source apt knows."""
    repo = root / PLACE
    repo.mkdir(parents=True)
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        package.rename(repo / package.name)
    (repo / "Packages").write_text("\n".join(_entry(path) for path in sorted(repo.glob("*.deb"))))
    for stale in (root / "var/lib/apt/lists").glob("*_*"):
        stale.unlink()
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{PLACE} ./\n")
    run(["chroot", root, "apt-get", "update"])


def _entry(package: Path) -> str:
    """One paragraph of a Packages file."""
    control = run(["dpkg-deb", "--field", package]).rstrip("\n")
    content = package.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"{control}\nFilename: ./{package.name}\nSize: {len(content)}\nSHA256: {digest}\n"
