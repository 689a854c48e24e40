"""The algorithms, in Cython: what runs when `npcnn.functional` is called.

`conv2d.pyx` (im2col whose matrix is never written, then matrix products),
`conv1d.pyx` (the k x 1 and 1 x k passes, without any copy), `toom_cook.pyx`
(both with about half the multiplications), `pool.pyx` and `elementwise.pyx` hold the loops over
pictures, rows and taps, with the GIL released and threads over rows or
pictures.  Their inner loops are the C functions of `csrc/`, under the same
names (with `_run` behind those that take a stretch of a flat array);
`core.pxd` is the bridge to them.

These functions trust their arguments.  `npcnn.functional` is their only
caller and checks everything first.
"""
