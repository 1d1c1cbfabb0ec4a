"""Where data may be and where it is said to be: jurisdiction rules and bounds on distance, all pure."""

from secondsite.residency.assess import assess, claim
from secondsite.residency.bounds import Bound, bound, least_rtt_ms
from secondsite.residency.finding import ResidencyFinding

__all__ = ["Bound", "ResidencyFinding", "assess", "bound", "claim", "least_rtt_ms"]
