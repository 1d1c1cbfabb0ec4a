"""What a report is about: sites, database, file sets and records, as the file declares them. Pure."""

from __future__ import annotations

from typing import Any

from secondsite.spec.model import Spec


def scope(spec: Spec, config_sha256: str) -> dict[str, Any]:
    """{sites, database, mode, files, dns, config_sha256} of a report."""
    return {
        "sites": {
            name: {
                "operator": site.operator,
                "country": site.country,
                "location": list(site.location),
                "public": str(site.public),
            }
            for name, site in spec.sites.items()
        },
        "database": spec.database.cluster,
        "mode": spec.database.mode,
        "files": [fileset.name for fileset in spec.files],
        "dns": [f"{record.name}.{record.zone}" for record in spec.dns],
        "config_sha256": config_sha256,
    }
