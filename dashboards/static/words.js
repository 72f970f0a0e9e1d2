// Marks the words of a transcript as right, wrong, missing or extra.

const WORDS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]\p{M}*|[\p{L}\p{M}\p{N}'’]+/gu;
const VOICE_TAGS = /\[SPEAKER\d+\]/g;

/** The words in lower case without punctuation and tags of voices; single characters of scripts without spaces. */
export function plainWords(text) {
  return text.replace(VOICE_TAGS, " ").toLowerCase().normalize("NFKC").match(WORDS) ?? [];
}

/**
 * The shortest way from `wanted` to `transcript` (Levenshtein over words), as a list of
 * { kind: "right" | "wrong" | "extra" | "missing", transcribed, wanted }.
 */
export function compareWords(wantedText, transcript) {
  const wanted = plainWords(wantedText);
  const transcribed = plainWords(transcript);
  const cost = editCosts(wanted, transcribed);
  const steps = [];
  let i = wanted.length;
  let j = transcribed.length;
  while (i > 0 || j > 0) {
    const same = i > 0 && j > 0 && wanted[i - 1] === transcribed[j - 1];
    if (i > 0 && j > 0 && cost[i][j] === cost[i - 1][j - 1] + (same ? 0 : 1)) {
      steps.push({ kind: same ? "right" : "wrong", transcribed: transcribed[--j], wanted: wanted[--i] });
    } else if (j > 0 && cost[i][j] === cost[i][j - 1] + 1) {
      steps.push({ kind: "extra", transcribed: transcribed[--j], wanted: "" });
    } else {
      steps.push({ kind: "missing", transcribed: "", wanted: wanted[--i] });
    }
  }
  return steps.reverse();
}

function editCosts(wanted, transcribed) {
  const cost = Array.from({ length: wanted.length + 1 }, (_, i) => [i]);
  for (let j = 1; j <= transcribed.length; j++) cost[0][j] = j;
  for (let i = 1; i <= wanted.length; i++) {
    for (let j = 1; j <= transcribed.length; j++) {
      const swap = cost[i - 1][j - 1] + (wanted[i - 1] === transcribed[j - 1] ? 0 : 1);
      cost[i][j] = Math.min(swap, cost[i - 1][j] + 1, cost[i][j - 1] + 1);
    }
  }
  return cost;
}
