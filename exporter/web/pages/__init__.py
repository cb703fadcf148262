"""The status pages, for people."""
