"""The same as `tracker-logging validate`: see `tracker_logging/commands/validate.py`.

python validate_logging_callbacks.py
"""

import sys

from tracker_logging.cli import main

if __name__ == "__main__":
    sys.exit(main(["validate", *sys.argv[1:]]))
