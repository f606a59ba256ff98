"""One line for any product: `show(tree)` draws what is usually looked at first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extenso_nb.errors import InputError
from extenso_nb.plot import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import DataArray, Dataset, DataTree

__all__ = ["show"]


def show(source: DataTree | Dataset | DataArray, variable: str | None = None, **options: Any) -> Axes:
    """Draw an opened product: colours of Sentinel-2 and OLCI, backscatter of Sentinel-1, maps of Sentinel-5P and SLSTR.

    Parameters
    ----------
    source
        A product as `open_product` gives it, a group of it, or an array of it.
    variable
        Draw a map of this variable of a swath (or the polarisation of this name).
    **options
        Of `rgb`, `swath_rgb`, `backscatter` or `swath_map`, whichever it is; each has `title`, `ax` and `max_pixels`.

    Returns
    -------
    Axes, its figure in `.figure`.

    Raises
    ------
    InputError
        Nothing in it can be drawn; further those of the function that draws.
    """
    from extenso_nb.plot.composites import rgb, swath_rgb
    from extenso_nb.plot.radar import backscatter
    from extenso_nb.plot.swaths import swath_map

    tree = canvas.tree_of(source)
    arrays = [(str(name), array) for node in tree.subtree for name, array in node.data_vars.items()]
    if any("radar" in array.encoding for _, array in arrays):
        return backscatter(source, variable, **options)
    names = {name for name, _ in arrays}
    if variable is None and any(array.dims[-2:] == ("y", "x") and "B04" in name for name, array in arrays):
        return rgb(tree, **options)
    if variable is None and {"Oa08", "Oa06", "Oa04"} <= names:
        return swath_rgb(source, **options)
    if not names:
        raise InputError(f"{tree.attrs.get('product_id', 'The tree')} has no variables.")
    return swath_map(source, variable, **options)
