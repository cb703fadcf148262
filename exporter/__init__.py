"""Watches the mail queues and mail services of BrainyCP hosting panels for Prometheus."""

__version__ = "0.1.0"

USER_AGENT = f"brainycp-exporter/{__version__}"
"""As panels and receivers see it in a request."""
