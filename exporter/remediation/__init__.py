"""Guarded repair: rules that act on a panel, and everything that holds them back."""
