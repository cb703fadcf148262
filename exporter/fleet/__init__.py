"""What is known of every host: the last polls, their history, what changed."""
