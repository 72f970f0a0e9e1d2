"""The table of data checks: every name that `check-data` may say, how bad it is, why it matters, what to do.

- One row per finding; `docs/check_data.md` is written from it, and a test holds both in step.
- An `error` trains something wrong or cannot be trained on; a `warning` is probably not meant; `info` is good to know.

    AUDIO_SILENT.at(place, seen="no frame above −60 dBFS", field="target audio")
"""

from __future__ import annotations

from tracker_logging.doctor.data_checks.finding import Check

# fmt: off
FILE_MISSING = Check("file_missing", "error", "file",
    "Nothing lies at that path, or a link leads nowhere.",
    "Correct the path.")
FILE_UNKNOWN = Check("file_unknown", "error", "file",
    "No reader recognises the file or directory.",
    "Convert it to one of the formats that can be read.")
FILE_UNREADABLE = Check("file_unreadable", "error", "file",
    "The reader had to give up: what follows that place was not seen, and training refuses the file.",
    "Repair the file at the place that is named, or write it again as UTF-8.")
NO_USABLE_SAMPLE = Check("no_usable_sample", "error", "file",
    "Every sample was refused, or there is none: nothing can be trained.",
    "Correct the other findings, or name another file.")

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
    "Nobody knows what such a message is for: a reader refuses it, or leaves it out without a word.",
    "Use system, scene, user and assistant.")
ROLE_MISSING = Check("role_missing", "error", "structure",
    "Without a user nobody says what to speak, without an assistant nobody speaks.",
    "Add the message of that role.")
ROLE_ORDER = Check("role_order", "warning", "structure",
    "The answer stands before the question, or a system message comes late: the model reads it in another order.",
    "Order the messages: system, scene, user, assistant.")
ROLE_REPEATED = Check("role_repeated", "warning", "structure",
    "Two messages of one role in a row: which of them counts is a guess.",
    "Join them into one message, or split the sample in two.")
PLACEHOLDERS_DIFFER = Check("placeholders_differ", "error", "structure",
    "The texts hold another number of audio placeholders than there are clips, so clips go to the wrong places.",
    "Write one placeholder per clip, in the order of the clips.")
TARGET_MISSING = Check("target_missing", "error", "structure",
    "There is no target audio, so there is nothing to learn to speak from.",
    "Add the target clip, or leave the sample out.")
REFERENCE_MISSING = Check("reference_missing", "warning", "structure",
    "Without a reference the model is taught to speak in no particular voice, not to clone one.",
    "Add a clip of the same speaker as the reference, unless such samples are meant.")
UNKNOWN_KEY = Check("unknown_key", "info", "structure",
    "The key is kept with the sample and has no effect on training; a misspelt key looks like this too.",
    "Nothing, if it is not a misspelling.")
SAMPLE_ID_REPEATED = Check("sample_id_repeated", "info", "structure",
    "Several samples have one id, so their voices cannot be told apart in a dashboard.",
    "Give every sample an id of its own.")

TEXT_CUT_AT_COLON = Check("text_cut_at_colon", "error", "texts",
    "The target text is a piece of what the instruction holds, cut at a \":\" (\"at 10:30.\" became \"30.\"). "
    "The model learns to speak words that it was not given.",
    "Write the whole text in misc.target_transcript; never split on \":\" to take the instruction off.")
TEXT_CUT = Check("text_cut", "error", "texts",
    "One place holds the whole text and another only its beginning or end: words are spoken that are not in the text.",
    "Write the whole text in both places.")
TEXTS_DIFFER = Check("texts_differ", "warning", "texts",
    "The text stands in two places of the sample with different words; one of them is not what is spoken.",
    "Listen to the clip and keep the text that it says.")
INSTRUCTION_IN_TEXT = Check("instruction_in_text", "error", "texts",
    "The text to be spoken begins like an instruction to the model, which nobody says in the clip.",
    "Put the bare text into misc.target_transcript.")
STRUCTURE_IN_TEXT = Check("structure_in_text", "error", "texts",
    "The text holds a token that the model reads as structure; training refuses the sample.",
    "Remove the token from the text.")
TEXT_WITHOUT_WORDS = Check("text_without_words", "warning", "texts",
    "The text has no letter and no digit, so nothing in it can be spoken.",
    "Write what the clip says, or leave the sample out.")
TEXT_ENCODING = Check("text_encoding", "warning", "texts",
    "Replacement or control characters, or UTF-8 that was read as Latin-1: the text was damaged on its way.",
    "Read the source with its own encoding and write the file again as UTF-8.")
TEXT_UNFINISHED = Check("text_unfinished", "info", "texts",
    "Nearly all texts end with a full stop or the like, and this one does not: it may have lost its end.",
    "Listen whether the clip says more than the text.")
REFERENCE_TEXT_IS_TARGET = Check("reference_text_is_target", "warning", "texts",
    "Reference and target have one text but different clips: one of the texts is probably copied from the other.",
    "Listen to both clips and correct the text that is wrong.")
LANGUAGE_SCRIPT = Check("language_script", "info", "texts",
    "The text is not in the script in which the declared language is written (a simple test of Unicode scripts).",
    "Correct the language or the text.")

AUDIO_MISSING = Check("audio_missing", "error", "audio",
    "The clip is not where the sample says.",
    "Correct the path; relative paths start at the data file.")
AUDIO_UNREADABLE = Check("audio_unreadable", "error", "audio",
    "The file is no audio that libsndfile can read.",
    "Convert it to WAV or FLAC, or leave the sample out.")
AUDIO_EMPTY = Check("audio_empty", "error", "audio",
    "The file holds no sound at all.",
    "Export the clip again, or leave the sample out.")
AUDIO_TRUNCATED = Check("audio_truncated", "warning", "audio",
    "The file is shorter than its header says: the end of the clip is lost, its text is not.",
    "Copy or export the clip again.")
AUDIO_TOO_SHORT = Check("audio_too_short", "error", "audio",
    "The target is shorter than 0.1 s: too short for one spoken sound.",
    "Leave the sample out.")
REFERENCE_SHORT = Check("reference_short", "warning", "audio",
    "A reference under one second tells little about a voice.",
    "Use three to ten seconds of the speaker.")
AUDIO_LONG = Check("audio_long", "warning", "audio",
    "Clips over 60 s make long sequences that cost memory and are seldom one sentence.",
    "Split the clip at pauses.")
RATE_LOW = Check("rate_low", "warning", "audio",
    "Under 16 kHz the upper half of speech is missing; the model learns to sound like a telephone.",
    "Use the original recording; converting up brings nothing back.")
RATE_ODD = Check("rate_odd", "info", "audio",
    "An unusual sample rate: a wrong rate in the header makes the voice too high or too low.",
    "Listen to one of the clips.")
RATES_MIXED = Check("rates_mixed", "info", "audio",
    "Clips have different sample rates. All are converted; bandwidth may still tell the recordings apart.",
    "Nothing, if the recordings are of different origin.")
CHANNELS_AVERAGED = Check("channels_averaged", "info", "audio",
    "The clips have more than one channel; the mean is used.",
    "Nothing, if all channels hold the same voice.")
DURATION_DECLARED = Check("duration_declared", "warning", "audio",
    "The declared duration is not that of the clip: the clip or the row belongs to another sample.",
    "Listen to the clip and compare it with its text.")
TARGET_IS_REFERENCE = Check("target_is_reference", "error", "audio",
    "Target and reference are the same sound: the model learns to copy the reference, not to clone a voice.",
    "Take another clip of the speaker as the reference.")

AUDIO_UNDECODABLE = Check("audio_undecodable", "error", "sound",
    "The header is sound, the samples are not: decoding fails or ends early.",
    "Copy or convert the clip again, or leave the sample out.")
AUDIO_NOT_FINITE = Check("audio_not_finite", "error", "sound",
    "Samples are NaN or infinite; training refuses such a clip.",
    "Convert the clip again.")
AUDIO_SILENT = Check("audio_silent", "error", "sound",
    "Under 0.1 s of the clip is above −60 dBFS: the model learns to answer with silence.",
    "Leave the sample out, or find the right clip.")
AUDIO_MOSTLY_SILENT = Check("audio_mostly_silent", "warning", "sound",
    "Over 70 % of the frames are without sound: long pauses are learned as well as speech.",
    "Trim the clip.")
AUDIO_QUIET = Check("audio_quiet", "warning", "sound",
    "The sounding part is below −45 dBFS; nothing is normalised, so the model learns to whisper.",
    "Raise the level of such clips before training.")
AUDIO_CLIPPED = Check("audio_clipped", "warning", "sound",
    "Over 0.5 % of the samples are at full scale: distortion is learned as part of the voice.",
    "Use a recording with less gain.")

TEXT_TOO_LONG = Check("text_too_long", "error", "pace",
    "More letters than anybody can say in that time: the clip is cut, or the text is another one's.",
    "Listen to the clip and correct text or audio.")
TEXT_TOO_SHORT = Check("text_too_short", "error", "pace",
    "The clip is several times as long as its text takes: words are missing, or the clip holds more than the sentence.",
    "Listen to the clip and correct text or audio.")
PACE_OUTLIER = Check("pace_outlier", "warning", "pace",
    "Letters per second far from those of the other clips in this script (robust z of the logarithm above 5, and more "
    "than 1.8 times off the median).",
    "Listen to the clip (--listen) and correct text or audio.")
SEQUENCE_TOO_LONG = Check("sequence_too_long", "error", "pace",
    "The audio alone has more frames than the model has positions.",
    "Split the clip, or leave the sample out.")
SEQUENCE_PERHAPS_TOO_LONG = Check("sequence_perhaps_too_long", "warning", "pace",
    "Audio frames and the estimated number of text tokens together exceed the model's positions.",
    "Shorten the reference, split the target, or leave the sample out.")

SPEAKER_MISSING = Check("speaker_missing", "info", "speakers",
    "No speaker is named, so nothing can be said about voices: neither balance nor leaks.",
    "Name the speaker in `speaker`.")
SPEAKER_PARTLY_NAMED = Check("speaker_partly_named", "info", "speakers",
    "Some samples name their speaker and some do not.",
    "Name it everywhere.")
SPEAKER_IS_SAMPLE_ID = Check("speaker_is_sample_id", "warning", "speakers",
    "`speaker` is the id or file name of its sample, or another in each of 50 samples and more: voices cannot be "
    "compared by it.",
    "Write the person's name or number there, the same for all of their clips.")
SPEAKER_SINGLE = Check("speaker_single", "info", "speakers",
    "All samples are of one speaker: a voice is learned, cloning of others is not.",
    "Add speakers if zero-shot cloning is the aim.")
CLIP_OF_TWO_SPEAKERS = Check("clip_of_two_speakers", "warning", "speakers",
    "One clip stands in samples of different speakers: references were shuffled, or the names are wrong.",
    "Pair each target with a reference of its own speaker.")

DUPLICATE = Check("duplicate", "info", "copies",
    "The same reference, target and text as an earlier sample: it counts twice.",
    "Nothing, if it is meant.")
MANY_DUPLICATES = Check("many_duplicates", "warning", "copies",
    "Over 5 % of the samples are repeats: an epoch is not what it seems.",
    "Remove the repeats; train more epochs instead.")
CLIP_WITH_TWO_TEXTS = Check("clip_with_two_texts", "warning", "copies",
    "One clip is said to speak different texts; at most one is right.",
    "Listen to the clip and keep the text that it says.")
LEAK_TARGET = Check("leak_target", "error", "copies",
    "A target of the evaluation data is trained on: its scores say nothing about new sentences.",
    "Remove it from one of the files.")
LEAK_TEXT = Check("leak_text", "warning", "copies",
    "A speaker's sentence of the evaluation data is also in the training data, as another recording.",
    "Evaluate on sentences that the speaker has not said in training.")
# fmt: on

ALL: tuple[Check, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Check))
"""Every check, in the order of the table."""

THEMES: dict[str, str] = {
    "file": "The file",
    "structure": "Structure of a sample",
    "texts": "Texts",
    "audio": "Audio, by its headers",
    "sound": "Audio, decoded (`--decode`)",
    "pace": "Length against text and model",
    "speakers": "Speakers",
    "copies": "Duplicates and leaks",
}
