"""Random faults, round after round, and after each a proof of what secondsite promises. Run by ``make campaign``."""
