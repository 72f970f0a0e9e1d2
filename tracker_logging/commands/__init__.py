"""One file per command of `tracker-logging`; see `tracker_logging/cli.py` for what such a file holds."""
