"""Fine-tune Higgs Audio v2 for zero-shot voice cloning, and see and hear what it learns.

    python train_v2_ddp.py --demo --enable_strategic_logging
    torchrun --nproc_per_node 2 train_v2_ddp.py --model_path … --audio_tokenizer_path … --train_data_file train.json \\
        --enable_strategic_logging --strategic_logging_steps 100
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker_logging.cli import Parser
from tracker_logging.data.facts import dataset_facts, file_facts
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families.checkpoints import base_of_adapters
from tracker_logging.families.higgs_v2.checkpoint import check_model_directory, open_model
from tracker_logging.families.higgs_v2.labels import normalise_loss_by_audio_labels
from tracker_logging.families.memory import MemoryEstimate, parameter_count
from tracker_logging.integrations.arguments import (
    add_logging_arguments,
    callbacks_from,
    check_logging_arguments,
    logging_config,
)
from tracker_logging.integrations.leave import leave
from tracker_logging.session.console import configure_console
from tracker_logging.voices.evaluation import VOICE, known_metrics

if TYPE_CHECKING:
    from tracker_logging.demo.composed.recipe import DemoRecipe
    from tracker_logging.demo.faults import DemoFault
    from tracker_logging.demo.paths import DemoPaths
    from tracker_logging.demo.pretrained_demo import PretrainedRecipe

logger = logging.getLogger("train_v2_ddp")

DTYPES = ("float32", "bfloat16", "float16")
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BEST_BY = ("loss", *known_metrics())
TEXT_PARTS = ("embed_tokens.", ".self_attn.", ".mlp.", ".input_layernorm.", ".post_attention_layernorm.")


class UsageError(ValueError):
    """Arguments that cannot be used. The message says what to change."""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="train_v2_ddp.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("model and data")
    data.add_argument("--demo", nargs="?", const="pretrained", choices=("pretrained", "composed"),
                      help="a small model, its codec and voices: pretrained (default) fine-tunes a zero-shot model on "
                      "new speakers (docs/pretraining.md), composed learns sentences from nothing")  # fmt: skip
    data.add_argument("--demo_fault", metavar="NAME",
                      help="with a mistake of common scripts, which the doctor finds: shuffled_references, "
                      "shifted_labels, masked_end_codes or frozen_audio_ffn")  # fmt: skip
    data.add_argument("--model_path", help="directory or hub name of a Higgs Audio v2 checkpoint")
    data.add_argument("--audio_tokenizer_path", help="directory or hub name of its audio codec")
    data.add_argument("--train_data_file", type=Path, help="file or directory; formats: docs/data.md")
    data.add_argument("--eval_data_file", type=Path, help="default: split off the training data")
    data.add_argument("--validation_split", type=float, default=0.005, help="share of the training data")
    data.add_argument("--code_cache", type=Path, help="keeps codes of clips; default: OUTPUT_DIR/codes")
    data.add_argument("--columns", metavar="audio=…,text=…", help="columns of a table by role, see docs/data.md")
    data.add_argument("--pair_references", action="store_true",
                      help="give each sample without a reference another utterance of its speaker")  # fmt: skip
    data.add_argument("--skip_bad_samples", action="store_true", help="skip and count samples that cannot be read")
    data.add_argument("--allow_download", action="store_true", help="fetch audio that the data names by http(s)")
    data.add_argument("--use_text_head", action="store_true", help="also train the text that surrounds the target")
    data.add_argument("--output_dir", type=Path, default=Path("outputs"))

    data.add_argument("--quiet", action="store_true", help="print warnings, findings and the last word only")

    train = parser.add_argument_group("training")
    train.add_argument("--num_train_epochs", type=float, default=3)
    train.add_argument("--max_steps", type=int, default=-1)
    train.add_argument("--per_device_train_batch_size", type=int, default=4)
    train.add_argument("--per_device_eval_batch_size", type=int, default=1)
    train.add_argument("--gradient_accumulation_steps", type=int, default=1)
    train.add_argument("--learning_rate", type=float, default=5e-5)
    train.add_argument("--lr_scheduler_type", default="linear")
    train.add_argument("--warmup_steps", type=int, default=100)
    train.add_argument("--logging_steps", type=int, default=10)
    train.add_argument("--save_steps", type=int, default=500)
    train.add_argument("--eval_steps", type=int, default=500)
    train.add_argument("--disable_eval", "--disable_evaluation", action="store_true")
    train.add_argument("--early_stopping_patience", type=int, metavar="N",
                       help="keep the best model; stop after N evaluations without a better one")  # fmt: skip
    train.add_argument("--best_by", choices=BEST_BY, metavar="METRIC",
                       help="keep the best model by this metric: loss, voice (the speaker first, then the words), "
                       "conditioning_gap, voice_sim_margin, voice_spk_top1, voice_wer, …; default where the best model "
                       "is kept: voice, without voices loss")  # fmt: skip
    train.add_argument("--seed", type=int, default=42)
    train.add_argument("--bf16", action="store_true", help="bf16 autocast; the weights stay in --dtype")
    train.add_argument("--dtype", choices=DTYPES, help="of the weights; default: float32, with --use_lora the "
                       "checkpoint's own for the frozen base and float32 for the adapters")  # fmt: skip
    train.add_argument("--dataloader_num_workers", type=int, default=0)
    train.add_argument("--gradient_checkpointing", action="store_true")
    train.add_argument("--resume_from_checkpoint", type=Path, help="a checkpoint-N directory")
    train.add_argument("--use_lora", action="store_true")
    train.add_argument("--lora_rank", type=int, default=16)
    train.add_argument("--lora_alpha", type=int, default=32)
    train.add_argument("--lora_dropout", type=float, default=0.1)
    train.add_argument("--save_merged", action="store_true", help="also save as boson_multimodal reads it, LoRA merged")
    train.add_argument("--freeze_llm", action="store_true", help="train the audio parts only")
    train.add_argument("--freeze_audio_tower", action="store_true")
    train.add_argument("--freeze_audio_encoder_proj", action="store_true")

    add_logging_arguments(parser)
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse what cannot work, before anything is loaded. Raises `UsageError` with the fix."""
    if args.demo and (args.model_path or args.train_data_file or args.audio_tokenizer_path):
        raise UsageError("--demo brings its own model, codec and data: drop --model_path, --audio_tokenizer_path "
                         "and --train_data_file, or drop --demo.")  # fmt: skip
    if args.demo_fault and not args.demo:
        raise UsageError("--demo_fault is a fault of the demo: add --demo, or drop it.")
    if not args.demo:
        for flag in ("model_path", "audio_tokenizer_path", "train_data_file"):
            if not getattr(args, flag):
                raise UsageError(f"--{flag} is missing. Give it, or try --demo, which needs none.")
    for flag, part in {"freeze_audio_tower": "audio tower", "freeze_audio_encoder_proj": "audio projection"}.items():
        if getattr(args, flag):
            raise UsageError(f"--{flag}: the transformers-native Higgs Audio v2 has no {part} (audio enters as codes). "
                             "Drop the flag.")  # fmt: skip
    if args.use_lora and args.freeze_llm:
        raise UsageError("--use_lora freezes everything but its adapters, so --freeze_llm has no meaning: drop one.")
    if args.disable_eval and args.eval_data_file:
        raise UsageError("--disable_eval contradicts --eval_data_file: drop one of them.")
    if not args.disable_eval and not args.eval_data_file and not 0 < args.validation_split < 1 and not args.demo:
        raise UsageError(f"--validation_split {args.validation_split} must lie between 0 and 1, or use --disable_eval.")
    for flag in ("logging_steps", "save_steps", "eval_steps"):
        if getattr(args, flag) < 1:
            raise UsageError(f"--{flag} {getattr(args, flag)}: must be 1 or more.")
    if args.resume_from_checkpoint and not (args.resume_from_checkpoint / "trainer_state.json").is_file():
        raise UsageError(f"--resume_from_checkpoint {args.resume_from_checkpoint}: no checkpoint there "
                         "(a directory checkpoint-N with trainer_state.json).")  # fmt: skip
    flag = "--early_stopping_patience" if args.best_by is None else f"--best_by {args.best_by}"
    if keeps_best(args) and (args.disable_eval or args.save_steps % args.eval_steps):
        raise UsageError(f"{flag} needs evaluation, and --save_steps a multiple of --eval_steps.")
    try:
        check_logging_arguments(args)
        if args.best_by not in (None, "loss") and not generates_voices(args):
            raise UsageError(f"{flag} needs voices: --enable_strategic_logging, with zero_shot in --strategic_loggers.")
    except ValueError as error:
        raise UsageError(str(error)) from error
    if args.model_path:
        check_model_directory(base_of_adapters(args.model_path) or args.model_path)


def keeps_best(args: argparse.Namespace) -> bool:
    """Whether the best checkpoint is kept and loaded at the end."""
    return args.early_stopping_patience is not None or args.best_by is not None


def generates_voices(args: argparse.Namespace) -> bool:
    """Whether the arguments ask for voices."""
    return "zero_shot" in logging_config(args).loggers


def best_metric(args: argparse.Namespace) -> tuple[str, bool]:
    """`metric_for_best_model` and `greater_is_better`."""
    name = args.best_by or (VOICE if keeps_best(args) and generates_voices(args) else "loss")
    return name, known_metrics().get(name) == "higher"


@dataclass(frozen=True)
class Material:
    """Everything that training needs."""

    model: Any
    processor: Any
    train: Sequence[VoiceSample]
    evaluation: Sequence[VoiceSample]

    def facts(self) -> dict[str, int | str]:
        """What the data is, to be shown beside the run."""
        return dataset_facts("train", self.train) | dataset_facts("eval", self.evaluation)


def load_material(args: argparse.Namespace) -> Material:
    """Read and check the data, then load codec and model."""
    from transformers import set_seed

    from tracker_logging.data.audio_sources import AudioShelf
    from tracker_logging.data.formats import open_samples
    from tracker_logging.data.formats.columns import parse_columns
    from tracker_logging.data.references import Pairing
    from tracker_logging.doctor.data_checks.before_training import look_at_data
    from tracker_logging.families.higgs_v2.processor import SpeechProcessor
    from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder

    set_seed(args.seed)  # adapters are initialised before the Trainer sets it
    shelf = AudioShelf(allow_download=args.allow_download)
    open_data = partial(
        open_samples,
        skip_bad=args.skip_bad_samples,
        shelf=shelf,
        training=True,
        columns=None if args.columns is None else parse_columns(args.columns),
        pairing=Pairing(seed=args.seed) if args.pair_references else None,
    )
    samples = open_data(args.train_data_file)
    if args.disable_eval:
        train, evaluation = samples, samples[:0]
    elif args.eval_data_file:
        train, evaluation = samples, open_data(args.eval_data_file)
    else:
        train, evaluation = samples.split(share=args.validation_split, seed=args.seed)
    look_at_data(
        train,
        evaluation,
        file=args.train_data_file,
        eval_file=args.eval_data_file,
        model_path=args.model_path,
        options=reading_options(args),
        encoder=None if args.demo else lambda: GE2ESpeakerEncoder().embed,
    )
    processor = SpeechProcessor.from_pretrained(
        args.model_path,
        args.audio_tokenizer_path,
        cache_directory=args.code_cache or args.output_dir / "codes",
        text_labels=args.use_text_head,
    )
    base = base_of_adapters(args.model_path)
    dtype = args.dtype or ("auto" if args.use_lora or base else "float32")  # transformers' own default is "auto"
    if base is None and not args.use_lora:
        report_memory(args)
    model = open_model(base or args.model_path, use_text_head=args.use_text_head, dtype=dtype)
    if base is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, args.model_path, is_trainable=True)
    return Material(model=prepare_model(model, args), processor=processor, train=train, evaluation=evaluation)


def reading_options(args: argparse.Namespace) -> list[str]:
    """The arguments by which `tracker-logging check-data` reads the same samples."""
    options = [] if args.columns is None else ["--columns", args.columns]
    options += ["--pair_references", "--seed", str(args.seed)] if args.pair_references else []
    return [*options, "--allow_download"] if args.allow_download else options


def report_memory(args: argparse.Namespace) -> None:
    """Log how much memory the training needs, and the ways to need less where it may not fit."""
    import torch

    parameters = parameter_count(Path(args.model_path))
    if parameters is None:
        return
    weight_bytes = 4 if args.dtype in (None, "float32") else 2
    estimate = MemoryEstimate(parameters=parameters, trained=parameters, weight_bytes=weight_bytes)
    logger.info(
        "The model has %s million parameters: weights, gradients and AdamW take about %.1f GiB in each process, and "
        "activations come on top.", f"{parameters / 1e6:,.1f}", estimate.gib,
    )  # fmt: skip
    if torch.cuda.is_available() and estimate.gib > torch.cuda.mem_get_info()[1] / 2**30:
        logger.warning(
            "The GPU has %.1f GiB. Train adapters (--use_lora) or fewer parts (--freeze_llm), or start with FSDP or "
            "DeepSpeed ZeRO by `accelerate launch`.", torch.cuda.mem_get_info()[1] / 2**30,
        )  # fmt: skip


def prepare_codes(material: Material, args: argparse.Namespace, *, world_size: int, rank: int) -> None:
    """Encode the clips before training where all will be needed, each rank a share, with a progress bar.

    Workers of a data loader then only read files: a codec on a GPU cannot be used in a forked process.
    """
    from accelerate import PartialState

    per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps * world_size
    if not args.dataloader_num_workers and 0 < args.max_steps * per_step < len(material.train):
        return
    prepared = material.processor.codes.prepare_samples(
        (material.train, material.evaluation), rank=rank, world_size=world_size, skip_bad=args.skip_bad_samples
    )
    if prepared.encoded or prepared.bad:
        logger.info("Encoded %d clips; %d clips cannot be read.", prepared.encoded, prepared.bad)
    PartialState().wait_for_everyone()


def prepare_model(model: Any, args: argparse.Namespace) -> Any:
    """Freeze or add adapters as asked, and make the loss an average over audio labels."""
    if args.freeze_llm:
        for name, parameter in model.named_parameters():
            if any(part in name for part in TEXT_PARTS) or name.startswith("text_lm_head"):
                parameter.requires_grad_(False)
    if args.use_lora and not hasattr(model, "peft_config"):  # adapters of --model_path are trained on
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(
            r=args.lora_rank, lora_alpha=args.lora_alpha, lora_dropout=args.lora_dropout, target_modules=LORA_TARGETS
        )
        model = get_peft_model(model, lora)
    normalise_loss_by_audio_labels(model)
    return model


def training_arguments(args: argparse.Namespace, *, evaluate: bool) -> Any:
    import torch
    from transformers import TrainingArguments

    metric, greater_is_better = best_metric(args)
    known = TrainingArguments.__dataclass_fields__  # the newer name first
    checkpointing = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in known)
    return TrainingArguments(
        output_dir=str(args.output_dir),
        num_train_epochs=args.num_train_epochs,
        max_steps=args.max_steps,
        per_device_train_batch_size=args.per_device_train_batch_size,
        per_device_eval_batch_size=args.per_device_eval_batch_size,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        learning_rate=args.learning_rate,
        lr_scheduler_type=args.lr_scheduler_type,
        warmup_steps=args.warmup_steps,
        logging_steps=args.logging_steps,
        save_steps=args.save_steps,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=args.eval_steps,
        load_best_model_at_end=keeps_best(args),
        metric_for_best_model=metric,
        greater_is_better=greater_is_better,
        seed=args.seed,
        bf16=args.bf16,
        # Without this the Trainer refuses bf16 on a CPU and runs each process of `torchrun` on its own.
        use_cpu=not torch.accelerator.is_available(),
        **{checkpointing: args.gradient_checkpointing},
        remove_unused_columns=False,
        label_names=["audio_labels"],
        prediction_loss_only=True,
        ddp_find_unused_parameters=False,
        dataloader_num_workers=args.dataloader_num_workers,
        report_to="none",
        disable_tqdm=args.quiet,
    )


def train(args: argparse.Namespace) -> str | None:
    """The finding for which the doctor stopped the training (`--doctor_fail_on`), if it did."""
    import torch
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, Trainer

    from tracker_logging.data.dataset import VoiceCloningDataset
    from tracker_logging.families.boson.weights import save_in_original_layout
    from tracker_logging.families.higgs_v2.processor import VoiceCloningCollator
    from tracker_logging.integrations.hf_trainer import failed_by
    from tracker_logging.integrations.live_line import LiveLine

    if args.demo:  # leave a core to those who draw and score, so that its voices are scored while it trains
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    material = load_material(args)
    dataset = partial(VoiceCloningDataset, processor=material.processor, skip_bad=args.skip_bad_samples)
    logger.info("%d training and %d evaluation samples.", len(material.train), len(material.evaluation))
    facts = material.facts() | file_facts("train", args.train_data_file)
    callbacks = callbacks_from(
        args, processor=material.processor, evaluation=material.evaluation, training=material.train, facts=facts
    )
    if args.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(args.early_stopping_patience))
    arguments = training_arguments(args, evaluate=bool(material.evaluation))
    prepare_codes(material, args, world_size=arguments.world_size, rank=arguments.process_index)
    model, collate = material.model, VoiceCloningCollator.of(material.processor)
    if (fault := demo_fault(args)) is not None:
        logger.warning("The demo is trained with a fault: %s.", fault.what)
        model, collate = fault.model(model), fault.collator(collate)
    trainer = Trainer(
        model=model,
        args=arguments,
        processing_class=material.processor.tokenizer,  # saved with each checkpoint, which --model_path opens again
        train_dataset=dataset(material.train),
        eval_dataset=dataset(material.evaluation) if material.evaluation else None,
        data_collator=collate,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback if args.quiet else ProgressCallback)
    if not args.quiet:
        trainer.add_callback(LiveLine(callbacks))
    trainer.train(resume_from_checkpoint=str(args.resume_from_checkpoint) if args.resume_from_checkpoint else None)
    trainer.save_model()
    if args.save_merged and trainer.is_world_process_zero():
        save_in_original_layout(trainer.model, args.output_dir / "merged", tokenizer=material.processor.tokenizer)
    return failed_by(callbacks)


def demo_fault(args: argparse.Namespace) -> DemoFault | None:
    """The fault that `--demo_fault` names."""
    from tracker_logging.demo.faults import FAULTS

    if args.demo_fault is not None and args.demo_fault not in FAULTS:
        raise UsageError(f"--demo_fault {args.demo_fault}: choose one of {', '.join(FAULTS)}.")
    return FAULTS.get(args.demo_fault)


def demo_of(args: argparse.Namespace) -> tuple[DemoPaths, DemoRecipe | PretrainedRecipe]:
    """The demo that `--demo` names, and its recipe."""
    if args.demo == "composed":
        from tracker_logging.demo.composed.build import build_demo
        from tracker_logging.demo.composed.recipe import DEMO_RECIPE

        in_place = args.output_dir / "demo"  # of an earlier state of the repository, or changed by hand
        return build_demo(in_place if in_place.exists() else None), DEMO_RECIPE
    from tracker_logging.demo.pretrained_demo import PRETRAINED_RECIPE, pretrained_demo

    return pretrained_demo(), PRETRAINED_RECIPE


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Arguments; `--demo` changes the defaults to the demo's recipe and fills in its model, codec and data."""
    parser = build_parser()
    args = parser.parse_args(argv)
    check_arguments(args)
    if args.demo:
        paths, recipe = demo_of(args)
        parser.set_defaults(**{name: value for name, value in asdict(recipe).items() if name in args})
        args = parser.parse_args(argv)
        fault = demo_fault(args)
        args.model_path, args.audio_tokenizer_path = str(paths.model), str(paths.codec)
        args.train_data_file, args.eval_data_file, args.code_cache = paths.train, paths.eval, paths.codes
        args.voice_prompts = args.voice_prompts or paths.prompts
        if fault is not None:
            args.train_data_file = fault.write(paths.train, args.output_dir / "faulty_train.json")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    configure_console(quiet="--quiet" in (sys.argv if argv is None else argv))
    try:
        finding = train(parse_arguments(argv))
    except (UsageError, DataError) as error:
        print(f"train_v2_ddp.py: {error}", file=sys.stderr)
        return 2
    if finding is not None:
        words = "The words are in findings.md beside the run, and above."
        print(f"train_v2_ddp.py: stopped by --doctor_fail_on: {finding}. {words}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    leave(main())
