"""The customer: buys and uploads without pause, and remembers what was promised.

Runs outside the sites, in the world's network namespace, with the standard library and dnspython only.
"""
