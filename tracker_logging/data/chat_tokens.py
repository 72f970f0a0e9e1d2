"""The special tokens by which ChatML data for Higgs Audio v2 marks structure, as text."""

BEGIN_OF_TEXT = "<|begin_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"
AUDIO_OUT = "<|AUDIO_OUT|>"
AUDIO_OUT_BOS = "<|audio_out_bos|>"
AUDIO_EOS = "<|audio_eos|>"
DELAY = "<|reserved_special_token_6|>"
SCENE_START = "<|scene_desc_start|>"
SCENE_END = "<|scene_desc_end|>"

# What no text of a user may contain: it would be read as structure.
STRUCTURE = (BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN, AUDIO_OUT, AUDIO_OUT_BOS, AUDIO_EOS, DELAY)
