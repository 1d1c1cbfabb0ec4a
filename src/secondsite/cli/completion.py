"""``secondsite completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import sys
from typing import Literal


def run(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script of a shell.

    Example: ``secondsite completion bash > /etc/bash_completion.d/secondsite``

    Exit code 0: printed. 2: the shell is none of these.

    See also: ``secondsite --help``.

    Parameters
    ----------
    shell
        Which shell the script is for.
    """
    from secondsite.cli.main import build_app

    sys.stdout.write(build_app().generate_completion(shell=shell).rstrip("\n") + "\n")
    return 0
