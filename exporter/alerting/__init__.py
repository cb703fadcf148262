"""The daemon's own alerts: when they fire, and who is told."""
