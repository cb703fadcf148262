"""HTTP to receivers and Alertmanagers: the endpoint, and what its errors mean."""
