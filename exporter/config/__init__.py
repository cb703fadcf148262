"""The config: YAML to frozen, validated models; every mistake is reported at once."""
