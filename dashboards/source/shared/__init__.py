"""Sections that both dashboards have."""
