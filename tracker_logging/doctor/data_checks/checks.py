"""Every data check: its name, how bad it is, why it matters and the fix; and the finding that it makes.

- One row of the table per check; `docs/check_data.md` is generated from it, and a test keeps the two equal.
- An `error` trains something wrong or cannot be trained on; a `warning` is probably unintended; `info` is good to know.

>>> finding = AUDIO_SILENT.at(Place("train.json", "train.json[3]"), seen="a.wav: 0.00 s of sound", field="target audio")
>>> finding.name, finding.level, finding.sample
('audio_silent', 'error', 'train.json[3]')
"""

from __future__ import annotations

from dataclasses import dataclass

from tracker_logging.doctor.finding import Level


@dataclass(frozen=True, slots=True)
class Place:
    """`file` as messages show it. `sample` as its reader names it (`train.json[3]`), empty for the whole file. `row`:
    its number among the accepted samples of the file, -1 for none."""

    file: str
    sample: str = ""
    row: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFinding:
    """One problem in one place. `field` may be empty; `clip` is the file to listen to, if there is one. `row`: as in
    `Place`."""

    name: str
    level: Level
    file: str
    sample: str
    field: str
    seen: str
    fix: str
    clip: str | None = None
    row: int = -1


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table. `means`: why it matters. `fix`: what to do."""

    name: str
    level: Level
    theme: str
    means: str
    fix: str

    def at(
        self, place: Place, *, seen: str, field: str = "", fix: str | None = None, clip: str | None = None
    ) -> DataFinding:
        """The finding of this check in `place`. `fix`: a more specific one than that of the table."""
        return DataFinding(
            name=self.name,
            level=self.level,
            file=place.file,
            sample=place.sample,
            field=field,
            seen=seen,
            fix=fix or self.fix,
            clip=clip,
            row=place.row,
        )


# fmt: off
FILE_MISSING = Check("file_missing", "error", "file",
    "There is nothing at that path, or a link is broken.",
    "Correct the path.")
FILE_UNKNOWN = Check("file_unknown", "error", "file",
    "No reader recognises the file or directory.",
    "Convert it to one of the formats of docs/data.md, or give the path of the data file.")
FILE_UNREADABLE = Check("file_unreadable", "error", "file",
    "Reading stopped there: the rest of the file was not checked, and training refuses the file.",
    "Repair the file at that place, or save it again as UTF-8.")
FILES_LEFT_OUT = Check("files_left_out", "warning", "file",
    "Files in a directory of recordings are not read: their samples are missing in training.",
    "Make them readable, or remove them.")
NO_USABLE_SAMPLE = Check("no_usable_sample", "error", "file",
    "No sample is usable: nothing can be trained, and no voice be generated.",
    "Fix the other findings, or choose another file.")

SAMPLE_REFUSED = Check("sample_refused", "error", "structure",
    "The reader cannot make a voice-cloning example of it. Training stops here, or skips it with --skip_bad_samples.",
    "Correct the sample, or train with --skip_bad_samples.")
MESSAGES_MALFORMED = Check("messages_malformed", "error", "structure",
    "`messages` is not a list of objects with a role and a content, so there is no conversation to read.",
    "Write `messages` as a list of {\"role\": …, \"content\": …}.")
CONTENT_MALFORMED = Check("content_malformed", "error", "structure",
    "The content of a message is neither text nor a list of parts, or a part is of no known type.",
    "Write text, or a list of {\"type\": \"text\", …} and {\"type\": \"audio\", …}.")
ROLE_UNKNOWN = Check("role_unknown", "error", "structure",
    "The role has no meaning: a reader refuses such a message or ignores it.",
    "Use system, scene, user and assistant.")
ROLE_MISSING = Check("role_missing", "error", "structure",
    "Without a user message there is no text to generate, without an assistant message no target.",
    "Add the message of that role.")
ROLE_ORDER = Check("role_order", "warning", "structure",
    "The assistant's message comes before the user's, or a system message comes late: the order is read differently.",
    "Order the messages: system, scene, user, assistant.")
ROLE_REPEATED = Check("role_repeated", "warning", "structure",
    "Two messages of one role in a row: it is ambiguous which of them counts.",
    "Merge them into one message, or split the sample in two.")
PLACEHOLDERS_DIFFER = Check("placeholders_differ", "error", "structure",
    "The number of audio placeholders in the texts differs from the number of clips, so clips go to the wrong places.",
    "Write one placeholder per clip, in the order of the clips.")
TARGET_MISSING = Check("target_missing", "error", "structure",
    "There is no target audio, so there is nothing to learn from.",
    "Add the target clip, or leave the sample out; a list of voice prompts is checked with --prompts.")
REFERENCE_MISSING = Check("reference_missing", "warning", "structure",
    "Without a reference the model learns speech in no particular voice, not cloning.",
    "Add a clip of the same speaker as the reference, unless such samples are intended.")
REFERENCES_MIXED = Check("references_mixed", "info", "structure",
    "Samples with and without a reference are mixed: the model learns cloning, and speech in no particular voice.",
    "None, if it is intended, as for guidance that needs both.")
UNKNOWN_KEY = Check("unknown_key", "info", "structure",
    "The key is kept with the sample and has no effect on training; it may be misspelled.",
    "None, if it is not misspelled.")
SAMPLE_ID_REPEATED = Check("sample_id_repeated", "info", "structure",
    "Several samples share an id, so their voices cannot be told apart in a dashboard.",
    "Give every sample a unique id.")

PROMPT_UNUSED = Check("prompt_unused", "warning", "prompts",
    "No voice is generated from this prompt.",
    "Give it a reference recording of one voice and a text of its own, or leave it out.")
PROMPTS_LEFT_OUT = Check("prompts_left_out", "info", "prompts",
    "A round generates from a fixed choice of the prompts.",
    "Set --voice_max_clips to generate from more.")

TEXT_CUT_AT_COLON = Check("text_cut_at_colon", "error", "texts",
    "The target text is a part of the instruction's text, cut at a \":\" (\"at 10:30.\" became \"30.\"). "
    "The model learns to generate words that it was not given.",
    "Write the whole text in misc.target_transcript; never split on \":\" to remove the instruction.")
TEXT_CUT = Check("text_cut", "error", "texts",
    "One place has the whole text and another only its beginning or end: the clip has words that are not in the text.",
    "Write the whole text in both places.")
TEXTS_DIFFER = Check("texts_differ", "warning", "texts",
    "Two places of the sample have different texts; at most one matches the clip.",
    "Listen to the clip and keep the text that matches it.")
INSTRUCTION_IN_TEXT = Check("instruction_in_text", "error", "texts",
    "The target text begins with an instruction to the model, which is not in the clip.",
    "Put the bare text into misc.target_transcript.")
STRUCTURE_IN_TEXT = Check("structure_in_text", "error", "texts",
    "The text contains a token that the model reads as structure; training refuses the sample.",
    "Remove the token from the text.")
TEXT_WITHOUT_WORDS = Check("text_without_words", "warning", "texts",
    "The text has no letter and no digit.",
    "Write the words of the clip, or leave the sample out.")
TEXT_ENCODING = Check("text_encoding", "warning", "texts",
    "Replacement or control characters, or text that was decoded by another encoding than its own: it is damaged.",
    "Decode the source with its own encoding and save the file again as UTF-8.")
TEXT_MARKUP = Check("text_markup", "warning", "texts",
    "The text has HTML in it: an entity such as &amp;, or a tag. It is trained as words.",
    "Convert the texts to plain text (html.unescape in Python) and remove the tags.")
TEXT_UNFINISHED = Check("text_unfinished", "info", "texts",
    "Nearly all texts end with a full stop or similar, and this one does not: its end may be missing.",
    "Check whether the clip contains more than the text.")
TEXTS_REPEATED = Check("texts_repeated", "warning", "texts",
    "One text belongs to over 20 % of the samples, with different clips: it was probably copied to the wrong rows.",
    "Listen to some of the clips and correct the texts, unless all speakers read the same sentence.")
REFERENCE_TEXT_IS_TARGET = Check("reference_text_is_target", "warning", "texts",
    "Reference and target have the same text but different clips: one of the texts is probably a copy of the other.",
    "Listen to both clips and correct the wrong text.")
LANGUAGE_SCRIPT = Check("language_script", "info", "texts",
    "The text is not in the script of the declared language (by Unicode character names).",
    "Correct the language or the text.")

LANGUAGE_NOT_CHECKED = Check("language_not_checked", "info", "texts",
    "The languages of the texts were not compared with those declared (--listen).",
    "Install py3langid.")
LANGUAGE_OF_TEXT = Check("language_of_text", "warning", "texts",
    "The text is in another language than declared (by py3langid, where that is installed; --listen).",
    "Correct the language or the text.")

AUDIO_MISSING = Check("audio_missing", "error", "audio",
    "There is no clip at the sample's path.",
    "Correct the path; relative paths start at the data file's directory.")
AUDIO_UNREADABLE = Check("audio_unreadable", "error", "audio",
    "The file is not audio that libsndfile can read.",
    "Convert it to WAV or FLAC, or leave the sample out.")
AUDIO_EMPTY = Check("audio_empty", "error", "audio",
    "The file has no samples.",
    "Export the clip again, or leave the sample out.")
AUDIO_TRUNCATED = Check("audio_truncated", "warning", "audio",
    "The file is shorter than its header declares: the end of the clip is missing, but not the end of its text.",
    "Copy or export the clip again.")
AUDIO_TOO_SHORT = Check("audio_too_short", "error", "audio",
    "The target is shorter than 0.1 s: too short for speech.",
    "Leave the sample out.")
REFERENCE_SHORT = Check("reference_short", "warning", "audio",
    "A reference under one second identifies a voice poorly.",
    "Use three to ten seconds of the speaker.")
AUDIO_LONG = Check("audio_long", "warning", "audio",
    "Clips over 60 s make long sequences that need much memory and are rarely one sentence.",
    "Split the clip at pauses.")
AUDIO_TOO_LONG = Check("audio_too_long", "error", "audio",
    "Training refuses clips over 30 minutes or 100 million samples, and headers that declare such a length.",
    "Cut the recording into utterances.")
RATE_LOW = Check("rate_low", "warning", "audio",
    "Under 16 kHz the upper half of the speech band is missing; the model learns telephone quality.",
    "Use the original recording; upsampling does not restore it.")
RATE_ODD = Check("rate_odd", "info", "audio",
    "The sample rate is unusual: a wrong rate in the header makes the voice too high or too low.",
    "Listen to one of the clips.")
RATES_MIXED = Check("rates_mixed", "info", "audio",
    "Clips have different sample rates. All are resampled, but their bandwidths still differ.",
    "None, if the recordings come from different sources.")
CHANNELS_AVERAGED = Check("channels_averaged", "info", "audio",
    "The clips have more than one channel; their mean is used.",
    "None, if all channels hold the same voice.")
DURATION_DECLARED = Check("duration_declared", "warning", "audio",
    "The declared duration differs from the clip's: the clip may belong to another sample.",
    "Listen to the clip and compare it with its text.")
TARGET_IS_REFERENCE = Check("target_is_reference", "error", "audio",
    "Target and reference are the same audio: the model learns to copy the reference, not to clone a voice.",
    "Take another clip of the speaker as the reference.")

AUDIO_UNDECODABLE = Check("audio_undecodable", "error", "sound",
    "The header is valid, but decoding fails or ends early.",
    "Copy or convert the clip again, or leave the sample out.")
AUDIO_NOT_FINITE = Check("audio_not_finite", "error", "sound",
    "The clip has NaN or infinite samples; training refuses it.",
    "Convert the clip again.")
AUDIO_UNSCALED = Check("audio_unscaled", "error", "sound",
    "Samples are over eight times full scale: numbers of 16 bits were written as floats; training refuses the clip.",
    "Divide the samples by 32768, and write the clip again.")
AUDIO_SILENT = Check("audio_silent", "error", "sound",
    "Less than 0.1 s of the clip is above −60 dBFS: the model learns to generate silence.",
    "Leave the sample out, or find the right clip.")
AUDIO_MOSTLY_SILENT = Check("audio_mostly_silent", "warning", "sound",
    "Over 70 % of the frames are silent: the model learns long pauses.",
    "Trim the clip.")
AUDIO_QUIET = Check("audio_quiet", "warning", "sound",
    "The frames with sound are below −45 dBFS; clips are not normalised, so the model learns quiet speech.",
    "Raise the level of such clips before training.")
AUDIO_OFFSET = Check("audio_offset", "warning", "sound",
    "The mean of the samples is over 2 % of full scale off zero: a DC offset costs headroom, and the model learns it.",
    "Remove the offset with a high-pass filter at 20 Hz.")
AUDIO_CLIPPED = Check("audio_clipped", "warning", "sound",
    "Over 0.5 % of the samples are at full scale: the model learns the distortion as part of the voice.",
    "Use a recording with less gain.")

HEARD_PARTLY = Check("heard_partly", "info", "listen",
    "Only some samples, evenly spaced, were measured: --listen takes time.",
    "None.")
SILENCE_AT_ENDS = Check("silence_at_ends", "warning", "listen",
    "Over 1 s of silence before or after the speech: the model learns to wait, or to go on after the text.",
    "Trim the clip to about 0.1 s of silence at both ends.")
AUDIO_NOISY = Check("audio_noisy", "warning", "listen",
    "The sound is less than 12 dB above the quietest moments between words: the model learns the noise as part of the "
    "voice.",
    "Use a cleaner recording, or leave the sample out.")
ENDS_CUT = Check("ends_cut", "warning", "listen",
    "The first or last 20 ms are as loud as the speech: a word is cut off, while its text is whole.",
    "Cut the clip again, with about 0.1 s of silence at both ends.")
BANDWIDTH_LOW = Check("bandwidth_low", "warning", "listen",
    "Most clips have no sound above 4.5 kHz: telephone speech that was resampled.",
    "Use the original recordings; a higher sample rate does not restore the sound.")
BANDWIDTH_BELOW_RATE = Check("bandwidth_below_rate", "info", "listen",
    "Most clips use less than 60 % of what their sample rate can hold: they were recorded or coded at a lower one.",
    "None, if no better recordings exist.")
BANDWIDTH_OUTLIER = Check("bandwidth_outlier", "warning", "listen",
    "The clip has less than 60 % of the bandwidth of most clips: another source, or resampled from a lower rate.",
    "Use the original recording, or leave the sample out.")
LEVEL_OUTLIER = Check("level_outlier", "warning", "listen",
    "The level is over 12 dB from that of most clips. Clips are not normalised, so the model learns it.",
    "Bring all clips to one level, such as −20 LUFS.")
REFERENCE_OF_OTHER_VOICE = Check("reference_of_other_voice", "warning", "listen",
    "Reference and target do not sound like one voice (cosine of their speaker embeddings under 0.75; 0.65 under 1.6 s "
    "of speech): another speaker, another speed, or a wrong sample rate in a header.",
    "Listen to both; pair each target with a reference of its own speaker, at its own rate.")
TARGET_SPEED_DIFFERS = Check("target_speed_differs", "warning", "listen",
    "Nearly all targets are read 1.2 times faster or slower than their references: a wrong sample rate, or clips that "
    "were stretched. The model learns to change the speed of a voice.",
    "Listen to some pairs, and prepare references and targets alike.")
TARGET_LEVEL_DIFFERS = Check("target_level_differs", "warning", "listen",
    "Nearly all targets are 6 dB louder or quieter than their references: the model learns to change the level.",
    "Prepare references and targets alike.")
TARGET_SILENCE_DIFFERS = Check("target_silence_differs", "warning", "listen",
    "Nearly all targets have more, or less, silence than their references (15 % points of their time).",
    "Trim references and targets alike.")
TARGET_LENGTH_DIFFERS = Check("target_length_differs", "warning", "listen",
    "Targets are five times longer or shorter than their references: at generation other lengths give other voices.",
    "Use references of three to ten seconds, and targets of the lengths that will be asked for.")
TARGET_BANDWIDTH_DIFFERS = Check("target_bandwidth_differs", "warning", "listen",
    "Nearly all targets have 1.33 times more, or less, bandwidth than their references: the model learns to change it.",
    "Prepare references and targets alike, from one source.")

TEXT_TOO_LONG = Check("text_too_long", "error", "pace",
    "Nobody speaks so many letters in that time: the clip is cut, or the text belongs to another clip.",
    "Listen to the clip and correct the text or the audio.")
TEXT_TOO_SHORT = Check("text_too_short", "error", "pace",
    "The clip is several times as long as its text needs: the text lacks words, or belongs to another clip.",
    "Listen to the clip and correct the text or the audio.")
PACE_OUTLIER = Check("pace_outlier", "warning", "pace",
    "Letters per second are far from those of the other clips in this script (robust z of the logarithm above 5, and "
    "more than 1.8 times off the median).",
    "Listen to the clip (--listen) and correct the text or the audio.")
SEQUENCE_TOO_LONG = Check("sequence_too_long", "error", "pace",
    "The audio alone has more frames than the model has positions.",
    "Split the clip, or leave the sample out.")
SEQUENCE_PERHAPS_TOO_LONG = Check("sequence_perhaps_too_long", "warning", "pace",
    "Audio frames and the estimated number of text tokens together exceed the model's positions.",
    "Shorten the reference, split the target, or leave the sample out.")

PACE_OF_FILE = Check("pace_of_file", "warning", "pace",
    "Most clips have more than 20 or fewer than 5 letters per second: a wrong sample rate in the headers, stretched "
    "clips, or texts in another form than what is read.",
    "Listen to some clips; correct their sample rate, or the texts.")
TEXTS_SHIFTED = Check("texts_shifted", "error", "pace",
    "Longer texts are not in longer clips, but they are if every text is moved by some rows: the texts are shifted "
    "against the clips. The loss falls all the same, and the model does not learn to read.",
    "Put each text beside its own clip: look for the row where a text or a clip is missing.")
TEXTS_UNRELATED = Check("texts_unrelated", "error", "pace",
    "Longer texts are not in longer clips (correlation of the logarithms of letters and seconds): texts and clips were "
    "shuffled, or are of different sources.",
    "Listen to some clips (--listen), and join texts and clips by a key, not by their order.")

SPEAKER_MISSING = Check("speaker_missing", "info", "speakers",
    "No speaker is named, so neither balance nor leaks of voices can be checked.",
    "Set `speaker`.")
SPEAKER_PARTLY_NAMED = Check("speaker_partly_named", "info", "speakers",
    "Some samples have a `speaker` and some do not.",
    "Set it in every sample.")
SPEAKER_IS_SAMPLE_ID = Check("speaker_is_sample_id", "warning", "speakers",
    "`speaker` is the id or file name of its sample, or different in each of 50 samples and more: voices cannot be "
    "grouped by it.",
    "Use one name or number per person, the same for all of their clips.")
SPEAKER_WITHOUT_REFERENCE = Check("speaker_without_reference", "warning", "speakers",
    "The speaker has no other clip of suitable length, so --pair_references leaves samples without a reference.",
    "Add recordings of the speaker, or leave such samples out.")
SPEAKER_SINGLE = Check("speaker_single", "info", "speakers",
    "All samples are of one speaker: the model learns that voice, not cloning of others.",
    "Add speakers if zero-shot cloning is the aim.")
CLIP_OF_TWO_SPEAKERS = Check("clip_of_two_speakers", "warning", "speakers",
    "One clip is used in samples of different speakers: references were shuffled, or the names are wrong.",
    "Pair each target with a reference of its own speaker.")

SPEAKER_DOMINATES = Check("speaker_dominates", "warning", "speakers",
    "One of three or more speakers has over 60 % of the speech (in the samples that --listen measures): other voices "
    "drift towards that one.",
    "Draw fewer samples of that speaker, or add others.")
NAME_OF_SEVERAL_VOICES = Check("name_of_several_voices", "warning", "speakers",
    "The clips of one name are of several voices (--listen): references are then paired with targets of other people.",
    "Listen to the clips that are named, and split the name.")
VOICE_OF_SEVERAL_NAMES = Check("voice_of_several_names", "warning", "speakers",
    "The clips of several names are as similar to each other as those of one name (--listen): one person, or one "
    "recording channel. Scores over speakers count that voice several times.",
    "Give all clips of a person one name.")

DUPLICATE = Check("duplicate", "info", "copies",
    "The sample has the same reference, target and text as an earlier one: it counts twice.",
    "None, if it is intended.")
MANY_DUPLICATES = Check("many_duplicates", "warning", "copies",
    "Over 5 % of the samples are repeats: some clips are trained several times per epoch.",
    "Remove the repeats; train more epochs instead.")
CLIP_WITH_TWO_TEXTS = Check("clip_with_two_texts", "warning", "copies",
    "One clip has different texts; at most one is right.",
    "Listen to the clip and keep the text that matches it.")
LEAK_TARGET = Check("leak_target", "error", "copies",
    "A target of the evaluation data is in the training data: its scores do not measure new sentences.",
    "Remove it from one of the files.")
LEAK_TEXT = Check("leak_text", "warning", "copies",
    "A speaker's sentence of the evaluation data is also in the training data, in another recording.",
    "Evaluate on sentences of the speaker that are not in the training data.")
LOSS_SUSPECT = Check("loss_suspect", "warning", "losses",
    "In that training the loss of the sample was far above that of the others each time, or did not fall while that of "
    "the others did, or its own text or reference helped no more than another's: text and audio may differ.",
    "Listen to the clip and correct the text or the audio, or leave the sample out.")
LOSS_HIGH = Check("loss_high", "info", "losses",
    "The sample has one of the highest losses of that training: noise, another style, or a fault.",
    "Listen to the clip.")
# fmt: on

ALL: tuple[Check, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Check))
"""Every check, in the order of the table and of reports."""

THEMES: dict[str, str] = {
    "file": "The file",
    "structure": "Structure of a sample",
    "prompts": "Voice prompts (`--prompts`)",
    "texts": "Texts",
    "audio": "Audio, by its headers",
    "sound": "Audio, decoded (`--decode`)",
    "listen": "Audio, measured and compared (`--listen`)",
    "pace": "Length against text and model",
    "speakers": "Speakers",
    "copies": "Duplicates and leaks",
    "losses": "Losses of a training (`--losses`)",
}
