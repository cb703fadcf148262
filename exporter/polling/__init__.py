"""Polls of panels: when, what is asked, and a diagnosis of what they answer."""
