"""The table of all real products: which open, what groups they have, what is missing, and what the refusals say.

`python benchmarks/products.py [folder]`; the folder is that of the tests' real data. One line a product, as Markdown.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import real  # noqa: E402
import xarray as xr  # noqa: E402

from extenso_nb.errors import ExtensoError  # noqa: E402
from extenso_nb.readers import open_product  # noqa: E402


def data() -> Path:
    """Where the real products lie."""
    named = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EXTENSO_TEST_DATA")
    return Path(named) if named else HERE.parent.parent / "shared" / "data"


def kept_short(groups: list[str]) -> str:
    """Paths of groups with those that differ in a number only as one: `WV1_001/owi` ... -> `WV1_*/owi x 15`."""
    counts: dict[str, int] = {}
    for group in groups:
        name = re.sub(r"(?<=_)\d{3}(?=/)", "*", group)
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{name} x {count}" if count > 1 else name for name, count in counts.items())


def what_opens(path: Path) -> tuple[str, xr.DataTree | None, str]:
    """How a product opens, its tree, and what is said where it does not as it is."""
    try:
        return "opens", open_product(path), ""
    except ExtensoError as error:
        said = f"{type(error).__name__}: {error.message} {error.hint or ''}"
    if "scaled=False" in said:
        return "opens with scaled=False", open_product(path, scaled=False), said
    return "refused", None, said


def row(path: Path, name: str) -> str:
    """One line of the table."""
    begun = time.perf_counter()
    how, tree, said = what_opens(path)
    seconds = time.perf_counter() - begun
    said = said.replace(str(path), "<path>").replace(path.name, "<name>")
    if tree is None:
        return f"| {name} | {how} | | {said} |"
    said = said.replace(tree.attrs["product_id"], "<id>")
    variables = sum(len(node.data_vars) for node in tree.subtree)
    missing = [str(member) for member in tree.attrs.get("missing_members", ())]
    parts = [said] if said else []
    if missing:
        shown = ", ".join(Path(member).name or member for member in missing[:2])
        parts.append(f"{len(missing)} missing: {shown}{' ...' if len(missing) > 2 else ''}")
    notes = {str(value) for node in tree.subtree for key, value in node.attrs.items() if str(key).endswith("_note")}
    parts += sorted(notes)[:1]
    groups = kept_short(real.groups(tree))
    return f"| {name} | {how} ({seconds:.2f} s) | {groups}: {variables} variables | {'; '.join(parts) or 'nothing'} |"


def main() -> None:
    """Print the table."""
    folder = data()
    products = real.every_product(folder)
    print(f"{len(products)} products\n")
    print("| product | opens | groups | missing, or why not |\n|---|---|---|---|")
    for path in products:
        print(row(path, path.relative_to(folder).as_posix()))


if __name__ == "__main__":
    main()
