"""The HTTP server: addresses, TLS, and what every request passes before a route sees it."""
