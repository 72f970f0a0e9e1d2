"""The commands of `tracker-logging`, one file each; `tracker_logging/cli.py` describes what such a file holds."""
