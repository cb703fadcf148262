"""Watches the mail queues and mail services of BrainyCP hosting panels for Prometheus."""

__version__ = "0.1.0"
