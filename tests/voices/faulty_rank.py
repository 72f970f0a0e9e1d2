"""One rank of a run of two, for `test_faulty_ranks.py`: rank 1 raises in round 1, sleeps in round 2 until rank 0 has
continued without it, and generates in round 3.

python faulty_rank.py RANK STORE_FILE DEMO_DIRECTORY
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from tracker_logging.data.formats import read_samples
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.events import VoiceComparison
from tracker_logging.families import GeneratedCodes
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.exchange import exchange_for
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.rounds import VoiceRounds
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.settings import VoiceSettings

TIMEOUT_S = 12.0


class Rank:
    """An adapter that generates half a second of codes, with the faults of rank 1."""

    def __init__(self, rank: int, continued: Path) -> None:
        self.rank = rank
        self.continued = continued
        self.round = 0

    def generate(self, prompts, settings):
        self.round += 1
        if (self.rank, self.round) == (1, 1):
            raise RuntimeError("this rank is broken")
        if (self.rank, self.round) == (1, 2):
            while not self.continued.exists():
                time.sleep(0.02)
        return [GeneratedCodes(codes=np.full((4, 12), self.rank), stop_reason="eos") for _ in prompts]


def main() -> None:
    rank, demo = int(sys.argv[1]), DemoPaths(Path(sys.argv[3]))
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
    continued = Path(sys.argv[2]).with_name("continued")
    events = []

    def emit(event):
        events.append(event)
        if isinstance(event, VoiceComparison) and event.step == 2:
            continued.touch()

    rounds = VoiceRounds(
        read_samples(demo.eval),
        processor,
        VoiceSettings(max_clips=4, timeout_s=TIMEOUT_S),
        exchange=exchange_for(rank=rank, world_size=2),
        scorer=lambda choice: VoiceScorer(Instruments()),
        emit=emit,
    )
    adapter = Rank(rank, continued)
    dist.barrier()  # rank 0 is not to wait for what rank 1 has to load
    for step in (1, 2, 3):
        rounds.generate(adapter, step=step)
        dist.all_reduce(torch.ones(1))  # a step of training: every rank gets here
    done = any(rounds.close() for _ in range(15))  # a busy machine draws slowly
    errors = [repr(error) for error in rounds.take_errors()]
    scored = [e for e in events if isinstance(e, VoiceComparison) and e.stage == "scored"]
    rows = [(e.step, e.voice_id, e.error, "generated" in e.clips) for e in scored]
    print(json.dumps({"done": done, "errors": errors, "rows": rows}))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
