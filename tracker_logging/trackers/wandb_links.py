"""Links a W&B run with its checkpoints and its training data, as artifacts without a file.

    run.log_artifact(checkpoint_link(run.id, event), aliases=["latest", "step-500"])
    run.log_artifact(data_link({"train_file": "train.json", "train_samples": 812, "train_digest": "5f0c…"}))

Guarantees
- Nothing is uploaded. An artifact holds one reference, `checkpoint://NAME/DIGEST` or `data://NAME/DIGEST`, and what is
  known as metadata; neither a path nor a host.
- The same content is the same version: W&B compares the references. So runs on the same data share one artifact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import wandb
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

from tracker_logging.events import Checkpoint

LONGEST_NAME = 100


def checkpoint_link(run_id: str, checkpoint: Checkpoint) -> Any:
    """The artifact of a run's checkpoints, in the version of this one."""
    metadata = {
        "name": checkpoint.name,
        "step": checkpoint.step,
        "digest": checkpoint.digest,
        "files": checkpoint.files,
        "size_bytes": checkpoint.size_bytes,
    }
    return _link("checkpoint", f"checkpoint-{run_id}", checkpoint.name, checkpoint.digest, metadata)


def data_link(config: Mapping[str, object]) -> Any | None:
    """The artifact of the training data that the settings of a run name; None where they name none."""
    digest = config.get("train_digest") or config.get("train_fingerprint")
    if not digest:
        return None
    name = str(config.get("train_file") or "train")
    metadata = {"name": name, "samples": config.get("train_samples"), "digest": digest}
    return _link("dataset", f"data-{name}", name, str(digest), metadata)


def _link(kind: str, collection: str, name: str, digest: str, metadata: Mapping[str, object]) -> Any:
    scheme = "data" if kind == "dataset" else kind
    artifact = wandb.Artifact(_safe(collection), type=kind, metadata=dict(metadata))
    reference = f"{scheme}://{_safe(name)}/{_safe(digest)}"
    # As `add_reference` does, which warns on the console of each reference that it cannot look up.
    artifact.manifest.add_entry(ArtifactManifestEntry(path=_safe(name), ref=reference, digest=reference))
    return artifact


def _safe(name: str) -> str:
    """A name that W&B takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:LONGEST_NAME] or "_"
