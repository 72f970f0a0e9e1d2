// Which rows are in sight: only those are updated, and only their pictures are drawn.

/** Keeps `inSight`, a set of voice ids, up to date; `enter(id)` for each row that comes, `changed()` after each change. */
export function watchRows(scroll, inSight, enter, changed) {
  const sighted = (entries) => {
    for (const entry of entries) {
      const id = entry.target.dataset.voice;
      if (!entry.isIntersecting) {
        inSight.delete(id);
      } else {
        inSight.add(id);
        enter(id);
      }
    }
    changed();
  };
  return new IntersectionObserver(sighted, { root: scroll, rootMargin: "200px" });
}
