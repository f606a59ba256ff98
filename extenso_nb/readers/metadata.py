"""Metadata files of products, parsed when they are what products have: no DTD, no entity, not larger than any of them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from extenso_nb.errors import DamagedProduct
from extenso_nb.readers.container import Container

__all__ = ["XML_LIMIT", "parsed"]

XML_LIMIT = 32_000_000
"""Bytes of the largest metadata file that is parsed; a tile's is 0.6 MB, a manifest 0.2 MB."""
_MARKS_MAX = 400_000
"""Most `<` and `=` in it. Each is an element or attribute of some 200 bytes at most; an annotation of 2 MB has 14,000."""


def parsed(container: Container, name: str) -> ET.Element:
    """A metadata file, parsed. Raises DamagedProduct, IncompleteProduct, ReaderError."""
    data, where = container.read(name, limit=XML_LIMIT), f"{name} in {container.uri}"
    # DTDs and entities, which no product has, are refused before the parser sees them.
    if b"\0" in data or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise DamagedProduct(
            f"{where} is refused: a product's metadata is UTF-8 and has no DTD or entity.", member=name
        )
    if data.count(b"<") + data.count(b"=") > _MARKS_MAX:
        raise DamagedProduct(f"{where} is refused: it has more elements than the metadata of any product.", member=name)
    try:
        return ET.fromstring(data)  # noqa: S314 - no DTD, no entity, bounded size: see above
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DamagedProduct(f"{where} is not XML: {error}.", member=name) from error
