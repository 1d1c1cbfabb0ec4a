"""Writes the reference pages from the code: commands, the file, and errors."""
