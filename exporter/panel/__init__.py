"""All that knows BrainyCP: request fields, replies, the HTTP client."""
