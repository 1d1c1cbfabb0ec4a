"""The commands `secondsite-lab link …`."""

from cyclopts import App

from secondsite_lab.cli_words import Name, tell
from secondsite_lab.lab import DEFAULT_NAME, lab_named

link = App(name="link", help="Cut, heal or shape the links between hosts.", version_flags=[])


@link.command
def cut(a: str | None = None, b: str | None = None, *, one_way: bool = False, name: Name = DEFAULT_NAME) -> None:
    """Cut the link between two hosts, all links of one host, or all links. Packets vanish without an answer.

    Parameters
    ----------
    a
        One end: oslo, bergen or world.
    b
        The other end.
    one_way
        Drop only what goes from the first to the second.
    """
    from secondsite_lab import links, preflight, record

    preflight.require_root()
    lab = lab_named(name)
    record.read_complete(lab)
    links.cut(lab, links.directions(a, b, one_way=one_way))


@link.command
def heal(a: str | None = None, b: str | None = None, *, name: Name = DEFAULT_NAME) -> None:
    """Undo `cut` and `shape` between two hosts, for all links of one host, or everywhere.

    Parameters
    ----------
    a
        One end.
    b
        The other end.
    """
    from secondsite_lab import links, preflight, record, shape
    from secondsite_lab.up import changing

    preflight.require_root()
    lab = lab_named(name)
    record.read_complete(lab)
    meant = links.directions(a, b)
    with changing(lab, tell):
        shape.remove(lab, meant)
        links.heal(lab, meant)


@link.command(name="shape")
def shape_link(
    a: str | None = None,
    b: str | None = None,
    *,
    rate: str | None = None,
    loss: str | None = None,
    delay: str | None = None,
    one_way: bool = False,
    name: Name = DEFAULT_NAME,
) -> None:
    """Make links slow, lossy or far: between two hosts, all of one host, or everywhere. `heal` undoes it.

    Everything counts for each direction by itself: a delay of 20ms makes a round trip 40 ms longer.

    Parameters
    ----------
    a
        One end: oslo, bergen or world.
    b
        The other end.
    rate
        The most that passes, for example 10mbit.
    loss
        The share of packets that vanish, for example 2%.
    delay
        How much longer each packet takes, for example 20ms.
    one_way
        Only from the first to the second.
    """
    from secondsite_lab import links, preflight, record, shape
    from secondsite_lab.up import changing

    preflight.require_root()
    lab = lab_named(name)
    made = record.read_complete(lab)
    quality = shape.parse(rate, loss, delay)
    with changing(lab, tell):
        shape.apply(lab, made, links.directions(a, b, one_way=one_way), quality)
