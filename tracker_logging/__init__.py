"""See and hear why zero-shot voice cloning works or fails while it is fine-tuned."""

from tracker_logging.version import __version__

__all__ = ["__version__"]
