"""Models of continuous latents: a batch that trains their head on a task that generation does not have.

>>> from tracker_logging.doctor.history import History
>>> history = History()
>>> _ = history.add(1, {"latents/own_frame_seen_pct": 100.0})
>>> RULES[0].evidence(history)
'100 % of the trained frames are predicted from a position that has seen them (latents/own_frame_seen_pct)'
"""

from __future__ import annotations

from tracker_logging import tags
from tracker_logging.doctor.rule import Cause, Rule, above

RULES = (
    Rule(
        name="frame_predicted_from_itself",
        level="error",
        certainty="certain",
        triggers=(tags.OWN_FRAME_SEEN,),
        opens_when="a trained frame is predicted from a position that has already seen it",
        evidence=above(
            0,
            tags.OWN_FRAME_SEEN,
            "{value:.3g} % of the trained frames are predicted from a position that has seen them",
        ),
        causes=(
            Cause(
                "`acoustic_loss_mask` marks the audio tokens themselves, as `output_labels=True` of VibeVoice's "
                "processor makes it, and the model's class does not shift it. The head learns to copy its condition; "
                "in generation the condition is that of the position before."
            ),
        ),
        fix="move the mask one position to the left: `mask[:, :-1] = input_ids[:, 1:] == audio_token_id`, or use "
        "`VibeVoiceSpeechProcessor`.",
    ),
    Rule(
        name="noise_of_another_level",
        level="error",
        certainty="certain",
        triggers=(tags.WRONG_NOISE,),
        opens_when="the noise that is added to a latent is not that of the level in the target of the loss",
        evidence=above(0, tags.WRONG_NOISE, "{value:.3g} % of the noise draws are of another level than their target"),
        causes=(
            Cause(
                "The noise scheduler is a new `DPMSolverMultistepScheduler` of diffusers, as VibeVoice builds it: "
                "until `set_timesteps` is called its `add_noise` has the order of the levels reversed."
            ),
        ),
        fix="pass `noise_scheduler=TrainingNoise(scheduler)` (`tracker_logging.families.vibevoice.schedule`) and "
        "`num_diffusion_steps=1000` to the model's forward, or use `VibeVoiceSpeechProcessor`.",
    ),
)
