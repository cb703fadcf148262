"""The stand-in panel: what the demo and the tests poll in place of a BrainyCP host."""
