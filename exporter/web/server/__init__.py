"""The HTTP server: addresses, TLS, and the checks that every request passes before its route."""
