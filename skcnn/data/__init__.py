"""Where samples come from: images in whatever layout, labels and weights, random changes."""
