"""The page of findings: the named checks of readiness, and the rules of residency."""

import ast
import inspect
from collections.abc import Iterator

from scripts.reference.pages import ROOT
from secondsite.objectives.checks import CHECKS

_INTRODUCTION = """# Readiness

`secondsite readiness` asks whether a failover would work now. It asks the questions on this page. Each finding has the
name of its question, a severity, the site it is about, and a hint.

| Severity | Meaning |
| --- | --- |
| critical | A failover now would fail or lose more than agreed, or users are hurt already. The service is not ready. |
| warning | It would work. Something makes it slower, dearer or less certain. |
| info | Worth knowing. |

"""
_RESIDENCY = """
# Where the data is

`secondsite residency` and readiness ask these too. Countries, operators and places are declared in the file and not
verified. A round-trip time bounds a distance. It proves no country.

"""
_RULES = ROOT / "src" / "secondsite" / "residency" / "assess.py"


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for check in CHECKS:
        why = inspect.getdoc(check.look) or ""
        parts.append(f"## {check.name}\n\n**{check.question}** {why}\n\nSeverity: {check.severity.value}.\n\n")
    parts.append(_RESIDENCY.lstrip())
    for name, severity, about in residency_rules():
        parts.append(f"## {name}\n\n{about}\n\nSeverity: {severity}.\n\n")
    return "".join(parts)


_ABOUT = {
    "country-allowed": "**Does each site stand in a country that the file allows?**",
    "distance-allowed": "**Are the sites no farther apart than the file allows?**",
    "location-plausible": "**Can the declared places be true?** Light itself needs longer than a wrong one allows.",
    "sites-apart": "**Do the sites stand in different buildings?** What destroys one would destroy both.",
    "subnets-apart": "**Are the sites in different networks?** A small network often lies in one building.",
    "places-apart": "**Are the sites in different towns, or run by different operators?**",
    "declared": "**What does the file say about each site?** Shown beside what is proven.",
    "distance-bound": "**What does the measured round-trip time prove?** A greatest distance, nothing else.",
}


def residency_rules() -> Iterator[tuple[str, str, str]]:
    """Name, severity and question of each rule that the code has."""
    seen: set[str] = set()
    calls = [node for node in ast.walk(ast.parse(_RULES.read_text())) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: node.lineno):
        if getattr(call.func, "id", "") != "ResidencyFinding":
            continue
        name, severity = (argument.value for argument in call.args[:2] if isinstance(argument, ast.Constant))
        if name not in seen:
            seen.add(str(name))
            yield str(name), str(severity), _ABOUT[str(name)]
