"""The status pages: what people look at."""
