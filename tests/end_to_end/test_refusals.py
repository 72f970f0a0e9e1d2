"""What cannot work is refused before a model is loaded, with the cure in the message."""

import argparse
import json
import warnings
from pathlib import Path

import pytest

from tracker_logging.demo.model import demo_model
from train_v2_ddp import build_parser, main, prepare_model, training_arguments


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    return capsys.readouterr().err


@pytest.fixture
def nothing_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args: object, **kwargs: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("transformers.HiggsAudioV2ForConditionalGeneration.from_pretrained", load)


OWN = ("--model_path", "no-such-model", "--audio_tokenizer_path", "codec", "--train_data_file", "train.json")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "--model_path is missing. Give it, or try --demo"),
        (("--demo=composed", "--model_path", "x"), "drop --demo"),
        ((*OWN, "--freeze_audio_tower"), "has no audio tower"),
        ((*OWN, "--freeze_audio_encoder_proj"), "has no audio projection"),
        ((*OWN, "--use_lora", "--freeze_llm"), "drop one"),
        ((*OWN, "--disable_evaluation", "--eval_data_file", "e.json"), "drop one of them"),
        ((*OWN, "--validation_split", "1.5"), "between 0 and 1"),
        ((*OWN, "--strategic_loggers", "inputs,voice"), "Choose of inputs, outputs, attention, zero_shot"),
        ((*OWN, "--voice_steps", "10"), "needs --enable_strategic_logging"),
        ((*OWN, "--enable_strategic_logging", "--strategic_logging_steps", "0"), "must be 1 or more"),
        ((*OWN, "--logging_steps", "0"), "must be 1 or more"),
        ((*OWN, "--early_stopping_patience", "2", "--disable_eval"), "needs evaluation"),
        ((*OWN, "--early_stopping_patience", "2", "--save_steps", "3", "--eval_steps", "2"), "a multiple of"),
        ((*OWN, "--logging_budget_pct", "0"), "must be above 0"),
        ((*OWN, "--report_to", "paper"), "is not a backend. Choose from"),
        ((*OWN, "--resume_from_checkpoint", "nowhere"), "no checkpoint there"),
        (OWN, "no such data file. Check --train_data_file"),
    ],
)
def test_a_wrong_command_line_says_what_to_change(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nothing_loads: None,
    argv: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *argv)


def test_a_directory_of_another_model_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    message = refused(capsys, "--model_path", str(tmp_path), *OWN[2:])
    assert "a model of type 'llama', not 'higgs_audio_v2'" in message
    assert "`strategic_callbacks`: see examples/codec_tokens.py" in message
    (tmp_path / "config.json").unlink()
    assert "no config.json there" in refused(capsys, "--model_path", str(tmp_path), *OWN[2:])


def test_an_unreadable_clip_is_named_before_the_model_loads(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, nothing_loads: None
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF no sound")
    turns = [
        ("user", [{"type": "text", "text": "Hello."}, {"type": "audio", "audio_url": "broken.wav"},
                  {"type": "text", "text": "Please generate speech for given text in reference audio's voice: Bye."}]),
        ("assistant", [{"type": "text", "text": "Bye."}, {"type": "audio", "audio_url": "broken.wav"}]),
    ]  # fmt: skip
    sample = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (tmp_path / "train.json").write_text(json.dumps([sample]))
    message = refused(capsys, *OWN[:4], "--train_data_file", str(tmp_path / "train.json"))
    assert "train.json[0]" in message
    assert "broken.wav" in message


def arguments(*argv: str) -> argparse.Namespace:
    return build_parser().parse_args(argv)


def test_freezing_the_text_model_leaves_the_audio_parts_trained() -> None:
    model = prepare_model(demo_model(0, use_text_head=True), arguments("--freeze_llm"))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert any("audio_mlp" in name for name in trained)
    assert "audio_lm_head.weight" in trained
    assert any("embed_audio_tokens" in name for name in trained)
    assert not [name for name in frozen if "audio" in name]
    for part in ("self_attn", ".mlp.", "embed_tokens", "text_lm_head", ".input_layernorm", "post_attention_layernorm"):
        assert any(part in name for name in frozen), part


def test_lora_trains_adapters_only() -> None:
    model = prepare_model(demo_model(0), arguments("--use_lora", "--lora_rank", "4"))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


@pytest.mark.parametrize("flags", [(), ("--gradient_checkpointing",)])
def test_the_trainer_is_asked_for_nothing_that_is_deprecated(flags: tuple[str, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        made = training_arguments(arguments(*flags), evaluate=True)
    assert made.gradient_checkpointing is bool(flags)


def test_an_unknown_flag_is_named_in_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(("--demo=composed", "--strategic_loging_steps", "5"))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    said = "train_v2_ddp.py: unrecognized arguments: --strategic_loging_steps 5. See train_v2_ddp.py --help"
    assert line == said
