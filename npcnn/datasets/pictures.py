"""Picture files of the usual formats as arrays, read by Pillow (the extra ``plot``).

`read_picture` gives what a network of the article takes: the middle square, scaled to 32 x 32; from there a picture
takes the way of the test pictures, `npcnn.datasets.inputs`.  `read_whole_picture` cuts nothing off.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.cache import expanded
from npcnn.datasets.cifar import SIZE
from npcnn.errors import DataError
from npcnn.functional.checks import integer, pair

if TYPE_CHECKING:
    from PIL import Image

# Pillow has many more readers.  Some fail in odd ways, and one hands the file to another program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# So many take Pillow 400 MB, and as much again while it turns them.
PIXEL_LIMIT = 100_000_000
BAND = 256  # rows converted at a time
MODES = {1: "L", 3: "RGB"}  # by the number of channels


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
        If it is of no such format, is damaged, has more than a hundred million pixels, or more than 8 bits a channel.
    """

    def small_square(image: Image.Image) -> Image.Image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return _scaled(image, (left, top, left + side, top + side), (SIZE, SIZE))

    return np.asarray(_read(path, small_square), dtype=np.uint8)


def read_whole_picture(
    path: str | Path, size: int | tuple[int, int] | None = None, *, channels: int = 3
) -> NDArray[np.uint8]:
    """Return a whole picture, scaled to a size if one is given.

    It is turned, laid on white and chosen from an animation as `read_picture` does.

    Parameters
    ----------
    path : str or Path
        A file of one of the `FORMATS`, under any name; ``~`` is the home folder.
    size : int or (int, int), optional
        Height and width to scale it to; a picture of other proportions is stretched.
    channels : 3 or 1
        Red, green and blue, or shades of grey.

    Returns
    -------
    ndarray, shape (H, W, channels), uint8

    Raises
    ------
    ImportError, OSError, DataError
        As `read_picture`.
    TypeError, ValueError
        If `size` or `channels` is not as above.
    """
    shape = None if size is None else pair(size, "size", minimum=1)
    if integer(channels, "channels", minimum=1) not in MODES:
        raise ValueError(f"channels must be 3 (red, green, blue) or 1 (grey), got {channels}")

    def whole(image: Image.Image) -> Image.Image:
        colours = _scaled(image, (0, 0, *image.size), shape or (image.height, image.width))
        return colours if channels == 3 else colours.convert(MODES[channels])

    picture = np.asarray(_read(expanded(path), whole), dtype=np.uint8)
    return picture.reshape(*picture.shape[:2], channels)


def _read(path: str | Path, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Open a picture and change it; whatever goes wrong with its content becomes a DataError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    with Path(path).open("rb") as file, warnings.catch_warnings():  # what is raised from here on is about the content
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
        try:
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > PIXEL_LIMIT:
                    size = f"{image.width} x {image.height}"
                    raise Image.DecompressionBombError(f"it has {size} pixels, expected at most {PIXEL_LIMIT:,}")
                # Pillow would cut such values off at 255, and return a white picture.
                if image.mode == "F" or image.mode.startswith("I"):
                    raise DataError(f"{path} has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
                ImageOps.exif_transpose(image, in_place=True)
                return change(image)
        except UnidentifiedImageError:
            raise DataError(f"{path} is not a picture in one of the formats {', '.join(FORMATS)}; convert it") from None
        except Image.DecompressionBombError as error:
            raise DataError(f"{path} is too large: {error}; scale it down") from error
        except (MemoryError, DataError):
            raise
        except Exception as error:  # a decoder may raise anything
            raise DataError(f"{path} is damaged: {str(error) or type(error).__name__}") from error


def _scaled(image: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """Cut out and scale to (H, W), first the width, band by band, then the height: never is all converted at once."""
    from PIL import Image

    left, top, right, bottom = box
    H, W = size
    narrow = Image.new("RGB", (W, bottom - top))
    for y in range(top, bottom, BAND):
        # Cut before scaling, which would mix in the pixels beside the box.
        band = image.crop((left, y, right, min(y + BAND, bottom))).convert("RGBA")
        opaque = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB")
        narrow.paste(opaque.resize((W, band.height), Image.Resampling.LANCZOS), (0, y - top))
    return narrow.resize((W, H), Image.Resampling.LANCZOS)
