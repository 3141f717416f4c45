"""Questions to a population, and what the answers mean: each verdict cites its numbers and its threshold."""
