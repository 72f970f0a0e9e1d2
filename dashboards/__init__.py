"""What people look at: the TensorBoard "Voices" tab, the comparison page, the W&B workspace, links into TensorBoard.

Guarantees
- Reads runs through `tracker_logging.runs`; knows no model and no training loop.
- Pages work without a network. Text from a dataset or a model is displayed as text and never executed.

The folder is at the top of the repository and is installed as `tracker_logging.dashboards` (see `setup.py`).
"""
