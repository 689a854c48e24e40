"""Pictures of any kind as the network's input: read by Pillow (``pip install npcnn[plot]``), cut and scaled to 32 x 32.

From there they take the way of the test pictures, `npcnn.datasets.pipeline.inputs`: the middle 24 x 24, standardised.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.cifar10 import SIZE
from npcnn.errors import DataError

# A picture of a hundred million pixels is 300 MB in memory; Pillow itself only warns of larger ones.
MOST_PIXELS = 100_000_000


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """Return the middle square of a picture, scaled to 32 x 32 pixels of red, green and blue.

    It is turned as its EXIF data says; what is transparent becomes white; of an animation the first picture is taken.

    Parameters
    ----------
    path : str or Path
        Any file that Pillow opens.

    Returns
    -------
    ndarray, shape (32, 32, 3), uint8

    Raises
    ------
    ImportError
        If Pillow is not installed.
    OSError
        If the file cannot be read.
    DataError
        If it is not a picture, is damaged, or has more than a hundred million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{path} has {image.width} x {image.height} pixels, expected at most {MOST_PIXELS:,}")
            picture = ImageOps.exif_transpose(image).convert("RGBA")
    except UnidentifiedImageError:
        raise DataError(f"{path} is not a picture that Pillow can open; convert it to PNG or JPEG") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large: {error}") from error
    except (SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    except OSError as error:
        if error.errno is not None:  # the system's: no such file, no permission
            raise
        raise DataError(f"{path} is damaged: {error}") from error
    white = Image.new("RGBA", picture.size, "white")
    whole = Image.alpha_composite(white, picture).convert("RGB")
    side = min(whole.size)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    # Cut first: scaling would let the pixels beside the square shine in.
    square = whole.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.LANCZOS), dtype=np.uint8)
