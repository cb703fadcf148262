"""The config: YAML to frozen, validated models, every mistake told at once."""
