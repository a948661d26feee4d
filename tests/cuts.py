"""Cuts for tests: small minibatches in many pieces. The fixture ``cut_work`` sets one for whole fits."""

from skcnn.network.cut import Cut

FINE = Cut(min_shards=4, chunk_bytes=0, prediction_rows=2, section=10)
"""Up to four shards, chunks of one image, two rows in prediction, and vectors ten elements at a time."""

PAIRS = Cut(min_shards=3, chunk_bytes=0, min_chunk=2, prediction_rows=2)
"""Up to three shards, and chunks of two images or of three in two."""
