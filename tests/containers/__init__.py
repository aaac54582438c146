"""Tests of the image and of what Docker makes of docker-compose.yml; `make e2e` runs them, as they need Docker."""
