"""Pure functions on arrays, the only place that knows how images lie in memory.

Images are C-contiguous arrays of shape (height, width, n_images, channels): one row of pixels of
all images is one long run of memory. Every kernel writes into arrays that its caller owns.
"""
