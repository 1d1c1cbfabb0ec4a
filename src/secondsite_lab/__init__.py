"""Two real sites on one machine: the lab in which secondsite is tried, measured and demonstrated."""
