"""Two paths as plain text, for the one command that cannot wait for pathlib to be imported; ``paths`` has the rest."""

SITE = "/etc/secondsite/site"
SOCKET = "/run/secondsite/agent.sock"
