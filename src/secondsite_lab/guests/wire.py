"""Who the guests are, and the cable between them. Nothing leads from it to anywhere else."""

NAMES = ("oslo", "bergen")
ADDRESSES = {"oslo": "10.77.0.1", "bergen": "10.77.0.2"}
MACS = {"oslo": "52:54:00:77:00:01", "bergen": "52:54:00:77:00:02"}
CONTROL_MAC = "52:54:00:10:00:02"  # the card by which this machine reaches a guest's sshd


def other(name: str) -> str:
    """The guest at the cable's other end."""
    return NAMES[1 - NAMES.index(name)]
