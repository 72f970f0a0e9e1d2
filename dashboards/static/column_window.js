// Which columns of the board are in sight: only those have cells, so that hundreds of runs can be shown.

const HEADING = 250; // pixels, of the first column; as in board.css
const NARROW = matchMedia("(width < 1100px)"); // the heading is above the clips
const PHONE = matchMedia("(width < 700px)"); // clips are two abreast, and all of them have cells

export class ColumnWindow {
  /** `scroll` is the element that scrolls `table`; `count` is set by the board. */
  constructor(scroll, table) {
    this.scroll = scroll;
    this.table = table;
    this.count = 0;
    this.from = 0;
    this.to = 0;
    this.width = 0; // pixels of the table
  }

  get heading() {
    return NARROW.matches ? 0 : HEADING;
  }

  /** The grid column of a place. */
  gridColumn(place) {
    return place + (NARROW.matches ? 1 : 2);
  }

  /** Measures `from` and `to`, the places in sight and one more on either side; true if they have changed. */
  measure() {
    this.width = this.table.clientWidth;
    if (PHONE.matches) return this.take(0, this.count);
    const width = Math.max(1, (this.width - this.heading) / this.count);
    const from = Math.max(0, Math.floor(this.scroll.scrollLeft / width) - 1);
    const to = Math.min(this.count, Math.ceil((this.scroll.scrollLeft + this.scroll.clientWidth - this.heading) / width) + 1);
    return this.take(from, to);
  }

  take(from, to) {
    const changed = from !== this.from || to !== this.to;
    [this.from, this.to] = [from, to];
    return changed;
  }

  /** Scrolls sideways until the place is in sight; true if it had to. */
  reveal(place) {
    if (PHONE.matches) return false;
    const width = (this.table.clientWidth - this.heading) / this.count;
    const room = this.scroll.clientWidth - this.heading;
    const left = Math.min(place * width, Math.max(this.scroll.scrollLeft, (place + 1) * width - room));
    if (Math.abs(left - this.scroll.scrollLeft) < 1) return false;
    this.scroll.scrollLeft = left;
    return true;
  }
}
