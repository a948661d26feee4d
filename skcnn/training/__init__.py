"""One call of fit: what it minimises, by which steps, and when it ends."""
