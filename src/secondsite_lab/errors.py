"""What can go wrong in the lab, told so that a person knows what to do next."""


class LabError(Exception):
    """The lab cannot do what was asked; the message says why, the hint says what helps."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LabError):
    """The request itself makes no sense (exit code 2)."""


class NotYetUp(LabError):
    """Another run is bringing the lab up at this moment (exit code 1)."""


class CommandFailed(LabError):
    """A program the lab relies on ended with an error or did not end in time."""

    def __init__(self, argv: tuple[str, ...], why: str, output: str) -> None:
        tail = "\n".join(output.strip().splitlines()[-15:])
        super().__init__(f"{' '.join(argv)}: {why}" + (f"\n{tail}" if tail else ""))
        self.argv = argv
        self.output = output
