"""The nets: front end → backbone → head."""
