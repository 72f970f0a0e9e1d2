"""Scorers that come with the library, each behind a protocol of `voices.protocols`; packages are imported on use."""
