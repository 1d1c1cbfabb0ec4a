"""secondsite: disaster recovery that you have already rehearsed."""

__version__ = "0.1.0"
