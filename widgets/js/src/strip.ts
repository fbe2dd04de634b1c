/** A strip: a cell for each task run of a group, or for as many as fit, in the order of the calls. */

import { set, svg } from "./dom";
import { COUNT_LOOKS } from "./icons";
import type { Counts } from "./protocol";

const STRIP_COLUMNS = 56;
/** What the letters of a strip stand for. */
export const LETTERS: Record<string, keyof Counts> = {
  d: "done",
  r: "running",
  a: "retrying",
  f: "failed",
  c: "cancelled",
  w: "waiting",
};

/** The cells of a strip: columns, rows, and the size of one cell with its gap, on a field of `width` by `height`. */
export function stripGrid(
  cells: number,
  width: number,
  height: number,
): { columns: number; rows: number; dx: number; dy: number } {
  const rows = Math.max(1, Math.ceil(cells / STRIP_COLUMNS));
  const columns = Math.max(1, Math.ceil(cells / rows));
  return { columns, rows, dx: Math.min(20, width / columns), dy: Math.min(20, height / rows) };
}

/** The strip as one path a letter: a row's run of equal cells is one dashed line whose dashes are the cells. */
export function stripPaths(
  strip: string,
  grid: ReturnType<typeof stripGrid>,
): Map<string, string> {
  const paths = new Map<string, string>();
  for (let start = 0; start < strip.length; ) {
    const letter = strip[start]!;
    const column = start % grid.columns;
    const row = Math.floor(start / grid.columns);
    let end = start + 1;
    while (end < strip.length && end % grid.columns && strip[end] === letter) end++;
    const x = round(column * grid.dx);
    const length = round((end - start) * grid.dx - 0.7);
    paths.set(letter, `${paths.get(letter) ?? ""}M${x},${round((row + 0.5) * grid.dy)}h${length}`);
    start = end;
  }
  return paths;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Draws a strip into `element`, which gets as high as it needs; only when it has changed. */
export function drawStrip(element: SVGSVGElement, strip: string, width: number, most: number): void {
  const key = `${width} ${most} ${strip}`;
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  const grid = stripGrid(strip.length, width, most);
  const height = round(grid.rows * grid.dy);
  set(element, { width, height, viewBox: `0 0 ${width} ${height}` });
  const dash = { "stroke-width": round(grid.dy - 0.7), "stroke-dasharray": `${round(grid.dx - 0.7)} .7` };
  const paths = [...stripPaths(strip, grid)].map(([letter, d]) =>
    svg("path", { class: `of-${COUNT_LOOKS[LETTERS[letter] ?? "waiting"][0]}`, d, ...dash }),
  );
  const rings = [...strip].flatMap((letter, i) =>
    letter === "f"
      ? `M${round((i % grid.columns) * grid.dx - 1)},${round(Math.floor(i / grid.columns) * grid.dy - 0.7)}` +
        `h${round(grid.dx + 1.3)}v${round(grid.dy + 1.3)}h${-round(grid.dx + 1.3)}z`
      : [],
  );
  // Among many failures rings would only blur the picture.
  if (rings.length > 24) rings.length = 0;
  element.replaceChildren(...paths, svg("path", { class: "ring", d: rings.join("") }));
}
