"""Bounds that keep a mistaken or hostile config from filling the memory."""

MAX_CONFIG_BYTES = 16 * 2**20
"""Of one YAML file; some 50,000 hosts."""

MAX_CONFIG_VALUES = 1_000_000
"""Of one YAML file, what its aliases stand for counted at each use."""

MAX_CONFIG_DEPTH = 32

MAX_SECRET_BYTES = 64 * 2**10
MAX_CA_BYTES = 4 * 2**20
