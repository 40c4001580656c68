"""The Flask apps: intake of events, CDS Hooks, pages and health. Thin views."""
