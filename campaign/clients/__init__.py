"""Programs that a round starts beside itself."""
