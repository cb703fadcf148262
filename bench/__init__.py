"""Measurements: `make bench`. Ratios of medians within one run; nothing here is a test."""
