"""The page of findings: the named checks of readiness, and the rules of residency."""

import ast
import inspect
from collections.abc import Iterator

from scripts.reference.pages import ROOT
from secondsite.objectives.checks import CHECKS
from secondsite.residency.about import ABOUT

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
        parts.append(f"**What to do:** {check.do}\n\n" if check.do else "")
    parts.append(_RESIDENCY.lstrip())
    for name, severity, about in residency_rules():
        parts.append(f"## {name}\n\n{about}\n\nSeverity: {severity}.\n\n")
    return "".join(parts)


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
            yield str(name), str(severity), ABOUT[str(name)]
