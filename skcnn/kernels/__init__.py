"""Pure functions on arrays, the only code that depends on how images lie in memory.

Images are C-contiguous arrays of shape (height, width, n_images, channels): one row of pixels of
all images is one long run of memory. Every kernel writes into arrays that its caller owns.
"""
