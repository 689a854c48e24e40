"""The algorithms, in Cython: what runs when `npcnn.functional` is called.

`convolution.pyx` (im2col as matrix products, without ever writing the matrix;
kernels with a side of 1 without any copy), `toom_cook.pyx` (the same with about
half the multiplications), `toom_cook_2d.pyx` (3 x 3 with about a quarter; the
gradients of both in `toom_cook_gradients.pyx`, `toom_cook_2d_gradients.pyx`),
`depthwise.pyx` (every channel by itself), `dense.pyx` (a plain matrix product),
`pooling.pyx`, `activations.pyx`, `addition.pyx`, `normalization.pyx` and `updates.pyx` hold the
loops over pictures, rows and taps, with the GIL released and threads over rows or
pictures.  Their inner loops are the C functions of `csrc/`: `core.pxd` is the bridge to them, `core.pyx` holds threads
and memory, `windows.pxd` says where windows lie, `strips.pxd` cuts a picture for
several threads, and `pooling.pxd` takes a gradient back through a pooling that was
done in one go with a convolution.

These functions trust their arguments.  `npcnn.functional` is their only
caller and checks everything first.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_FOLDER = Path(__file__).parent
_missing = [path.stem for path in sorted(_FOLDER.glob("*.pyx")) if find_spec(f"{__name__}.{path.stem}") is None]
if _missing:
    raise ImportError(
        f"npcnn's compiled kernels for Python {sys.version_info.major}.{sys.version_info.minor} "
        f"({', '.join(_missing)}) are not in {_FOLDER}: run `make` or `python -m pip install -e .` in "
        f"{_FOLDER.parent.parent}, or, if npcnn is installed elsewhere, start Python in another folder"
    )
