"""The status port: JSON for programs and people."""
