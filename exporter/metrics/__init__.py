"""The exposition: a host's text is made once a poll, a scrape joins the texts."""
