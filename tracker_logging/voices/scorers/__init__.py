"""The scorers of the library, each behind a protocol of `voices.protocols`. Packages are imported on use."""
