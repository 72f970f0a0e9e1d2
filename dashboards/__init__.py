"""What people look at: the TensorBoard "Voices" tab, the side-by-side page, the W&B workspace, the TensorBoard layout.

Guarantees
- Reads what a run has written (events, `voices/` files, W&B and JSON-lines records); knows no model and no Trainer.
- Every page works without a network. What a dataset or a model wrote is shown as text and never run.

The folder lies at the top of the repository and is installed as `tracker_logging.dashboards` (see `setup.py`).
"""
