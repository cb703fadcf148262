"""What alerting and remediation share of Alertmanager: alerts, its API, silences."""
