"""The published schemas of the commands' JSON documents, made from their types.

Within a major version keys are only added. A document may hold more keys than its schema names.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from secondsite.cli.documents import files
from secondsite.cli.documents.procedure import JournalDocument, JournalsDocument, ProcedureDocument
from secondsite.cli.documents.setup import ErrorDocument, ExplainDocument, InitDocument, PlanDocument, ValidateDocument
from secondsite.cli.documents.status import GuardDocument, ReadinessDocument, ResidencyDocument, StatusDocument
from secondsite.cli.documents.verify import VerifyDocument
from secondsite.errors import UsageError

DOCUMENTS: dict[str, Any] = {
    "error": ErrorDocument,
    "explain": ExplainDocument,
    **files.DOCUMENTS,
    "guard": GuardDocument,
    "init": InitDocument,
    "journal": JournalDocument,
    "journals": JournalsDocument,
    "plan": PlanDocument,
    "procedure": ProcedureDocument,
    "readiness": ReadinessDocument,
    "report": "secondsite.evidence.report:Report",
    "residency": ResidencyDocument,
    "status": StatusDocument,
    "validate": ValidateDocument,
    "verify": VerifyDocument,
}


def names() -> list[str]:
    """Every name that ``schema_of`` knows."""
    return sorted(["file", *DOCUMENTS])


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of the file or of a document. Raises UsageError for a name that is none."""
    if name == "file":
        from secondsite.spec import Spec

        schema = Spec.model_json_schema(mode="validation")
    elif name in DOCUMENTS:
        schema = _adapter(name).json_schema()
    else:
        raise UsageError(f'there is no schema "{name}"', hint=f"secondsite schema {'|'.join(names())}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"secondsite {name}"}


def conforms(name: str, document: object) -> None:
    """Raises pydantic's ValidationError where a document breaks its published schema; for tests."""
    _adapter(name).validate_python(document)


def _adapter(name: str) -> TypeAdapter[Any]:
    """The type of a document; those described beside the code that makes them are named "module:type"."""
    kind = DOCUMENTS[name]
    if isinstance(kind, str):
        module, _, attribute = kind.partition(":")
        kind = getattr(import_module(module), attribute)
    return TypeAdapter(kind)
