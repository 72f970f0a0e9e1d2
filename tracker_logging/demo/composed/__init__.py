"""A small demo without a pretrained model: random weights, and sentences composed of phrases of six voices.

It is built in seconds and learns its sentences in minutes. Examples, `tracker-logging validate` and tests train on it.
"""
