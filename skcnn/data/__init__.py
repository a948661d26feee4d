"""Input data: images in several layouts, labels, weights and augmentation."""
