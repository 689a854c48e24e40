"""Pictures of any kind as the network's input: read by Pillow (the extra ``plot``), cut and scaled to 32 x 32.

From there they take the way of the test pictures, `npcnn.datasets.pipeline.inputs`: the middle 24 x 24, standardised.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.cifar import SIZE
from npcnn.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

# Pillow has many more readers.  Some fail in odd ways, and one hands the file to another program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# So many take Pillow 400 MB, and as much again while it turns them.
PIXEL_LIMIT = 100_000_000
BAND = 256  # rows converted at a time


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """Return the middle square of a picture, scaled to 32 x 32 pixels of red, green and blue.

    It is turned as its EXIF data says; what is transparent becomes white; of an animation the first picture is taken.

    Parameters
    ----------
    path : str or Path
        A file of one of the `FORMATS`, under any name.

    Returns
    -------
    ndarray, shape (32, 32, 3), uint8

    Raises
    ------
    ImportError
        If Pillow is not installed.
    OSError
        If the file cannot be opened.
    DataError
        If it is of no such format, is damaged, or has more than a hundred million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    with Path(path).open("rb") as file, warnings.catch_warnings():  # what is raised from here on is about the content
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
        try:
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > PIXEL_LIMIT:
                    size = f"{image.width} x {image.height}"
                    raise Image.DecompressionBombError(f"it has {size} pixels, expected at most {PIXEL_LIMIT:,}")
                ImageOps.exif_transpose(image, in_place=True)
                return _small_square(image)
        except UnidentifiedImageError:
            raise DataError(f"{path} is not a picture in one of the formats {', '.join(FORMATS)}; convert it") from None
        except Image.DecompressionBombError as error:
            raise DataError(f"{path} is too large: {error}; scale it down") from error
        except MemoryError:
            raise
        except Exception as error:  # a decoder may raise anything
            raise DataError(f"{path} is damaged: {str(error) or type(error).__name__}") from error


def _small_square(image: Image.Image) -> NDArray[np.uint8]:
    """Cut and scale, first the width, band by band, then the height: the whole is never converted at once."""
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    narrow = Image.new("RGB", (SIZE, side))
    for y in range(0, side, BAND):
        # Cut before scaling, which would mix in the pixels beside the square.
        band = image.crop((left, top + y, left + side, top + min(y + BAND, side))).convert("RGBA")
        opaque = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB")
        narrow.paste(opaque.resize((SIZE, band.height), Image.Resampling.LANCZOS), (0, y))
    return np.asarray(narrow.resize((SIZE, SIZE), Image.Resampling.LANCZOS), dtype=np.uint8)
