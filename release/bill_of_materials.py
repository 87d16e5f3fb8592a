"""The software bill of materials: which packages are in the function's zip, as CycloneDX."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from infra.version import VERSION, commit


def write_bill_of_materials(bundle: Path, path: Path, seconds: int) -> None:
    """Writes what is in the bundle's folder; `seconds` is the commit's time, since the epoch."""
    root = Component(
        name="lead-delivery", version=VERSION, type=ComponentType.APPLICATION, bom_ref="lead-delivery"
    )
    bom = Bom(
        components=_components(bundle), serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{VERSION} {commit()}")
    )
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(seconds, UTC)
    bom.register_dependency(root, bom.components)
    path.write_text(JsonV1Dot6(bom).output_as_string(indent=1) + "\n", "utf-8")


def _components(bundle: Path) -> Iterator[Component]:
    for folder in sorted(bundle.glob("*.dist-info")):
        package = PathDistribution(folder)
        name, version = package.metadata["Name"], package.version
        purl = PackageURL("pypi", name=name, version=version)
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=purl.to_string(),
            licenses=[_licence(package)],
        )


def _licence(package: Distribution) -> License:
    """The package's own word for it: an SPDX expression, or what older packages wrote."""
    written = package.metadata.json.get("license_expression") or package.metadata.json.get("license")
    return LicenseFactory().make_from_string(str(written or "unknown"))
