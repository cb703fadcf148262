"""The daemon's own alerts: when they fire, and which receivers are notified."""
