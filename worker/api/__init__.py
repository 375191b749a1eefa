"""The driving edge for people and platforms: POST /students and GET /metrics over HTTP."""
