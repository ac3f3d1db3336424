"""Files of any microscope -> pixels, pixel size, metadata, info bar.

>>> from wootz.readers import read_image
>>> image = read_image("field.tif")  # doctest: +SKIP
"""

from wootz.readers.image import Image, LargeImageError, read_image
from wootz.readers.infobar import find_info_bar
from wootz.readers.windows import image_shape, iter_row_blocks, read_window

__all__ = [
    "Image",
    "LargeImageError",
    "find_info_bar",
    "image_shape",
    "iter_row_blocks",
    "read_image",
    "read_window",
]
