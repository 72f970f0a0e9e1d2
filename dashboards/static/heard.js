// How much of each clip of a trial was played. Jumps are not listened to.

export const PLAYED_SHARE = 0.8; // of a clip that must have been played before it is judged
const LONGEST_PAUSE_S = 1; // between two looks at the position

export class Heard {
  constructor() {
    this.seconds = new Map(); // letter → seconds that were played
    this.last = { letter: "", position: 0 };
  }

  /** The clip under `letter` begins at `position` seconds. */
  begin(letter, position = 0) {
    this.last = { letter, position };
  }

  /** The clip under `letter` has been played up to `position`. */
  note(letter, position) {
    const passed = letter === this.last.letter ? position - this.last.position : 0;
    this.last = { letter, position };
    if (passed > 0 && passed <= LONGEST_PAUSE_S) this.seconds.set(letter, this.of(letter) + passed);
  }

  of(letter) {
    return this.seconds.get(letter) ?? 0;
  }

  /** Whether enough of a clip of so many seconds was played. */
  isPlayed(letter, seconds) {
    return this.of(letter) >= PLAYED_SHARE * seconds;
  }
}
