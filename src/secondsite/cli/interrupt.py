"""Ctrl-C: only what sits at this terminal ends with it, and the message must be true of what does not."""

from __future__ import annotations

from secondsite.errors import SecondsiteError, way_on


class Interrupted(SecondsiteError):
    """A person has pressed Ctrl-C, and there is more to tell than that. Ends the command with exit code 130."""

    default_slug = "interrupted"


def procedure_left(kind: str, site: str, *, agent: bool, heard: bool = True, here: bool = True) -> Interrupted:
    """What was asked of ``site`` and watched from here. agent: the one there carries it out and does not hear of the
    interrupt, so that by now it may have come to its end. heard: it has said something; where not, it may not even
    have been reached. here: this is its host; from elsewhere it goes on without an agent as well."""
    look, go_on = "secondsite status", way_on(kind, site)
    hint = look if go_on == look else f"{look}, and if it is unfinished: {go_on}"
    if not heard:
        told = (
            f"interrupted before {site} had said anything: the {kind} may not have begun; if it has, it goes on there"
        )
        return Interrupted(told, hint=f"{hint}; if nothing has begun, the same command again")
    if agent:
        told = f"interrupted here; the agent at {site} goes on with the {kind}, or has ended it by now"
        return Interrupted(told, hint=f"{hint} (secondsite journal shows how it ended)")
    if not here:
        return Interrupted(f"interrupted here; the {kind} goes on at {site}, or has ended by now", hint=hint)
    return Interrupted(
        f"interrupted; no agent at {site} goes on with the {kind}, so it stops where it stood", hint=hint
    )


def apply_left(changes: int, replace_standby: str | None) -> Interrupted:
    """An apply on its way. changes: how many were made."""
    again = f" --replace-standby {replace_standby}" if replace_standby else ""
    made = {0: "no change had been finished yet", 1: "1 change was made, and stays"}
    return Interrupted(
        f"interrupted; {made.get(changes, f'{changes} changes were made, and stay')}",
        step="apply",
        hint=f"secondsite apply{again}   (a new apply looks first and finishes it)",
    )
