"""The HTTP side: routes, pages, TLS and basic auth."""
