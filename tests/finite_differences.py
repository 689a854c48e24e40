"""Central differences of a scalar function, a second opinion beside `npcnn.gradcheck`."""

import numpy as np


def numeric_gradient(function, array, step=1e-6):
    """Return d function() / d array, changing `array` in place and back, one element at a time."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = function()
        array[index] = value - step
        below = function()
        array[index] = value
        gradient[index] = (above - below) / (2 * step)
    return gradient
