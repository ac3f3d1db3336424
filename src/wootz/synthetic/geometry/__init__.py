"""Pure geometry of a scene in micrometres: interfaces, grains, inclusions, cracks."""
