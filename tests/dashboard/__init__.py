"""`make dashboard-picture`: docs/dashboard.svg, the dashboard's series from a stack in use, drawn without Grafana."""
