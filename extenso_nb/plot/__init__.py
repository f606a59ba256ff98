"""Pictures: footprints and quicklooks of a catalogue, and what is in an opened product. matplotlib lives here alone."""

from __future__ import annotations

from extenso_nb.plot.catalogue import cloud_colour, footprints, land, quicklooks
from extenso_nb.plot.choosing import show
from extenso_nb.plot.composites import rgb, swath_rgb
from extenso_nb.plot.radar import backscatter
from extenso_nb.plot.swaths import swath_map

__all__ = ["backscatter", "cloud_colour", "footprints", "land", "quicklooks", "rgb", "show", "swath_map", "swath_rgb"]
