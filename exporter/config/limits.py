"""Bounds that keep a mistaken or hostile config from filling the memory."""

MAX_CONFIG_BYTES = 64 * 2**20
MAX_SECRET_BYTES = 64 * 2**10
