/** One node of the graph: a card for a task run or a subflow, stacked sheets for a group. */

import { html, set, setText, show, svg } from "./dom";
import { COUNT_LOOKS, icon, setIcon, shapeOf } from "./icons";
import type { Counts, NodeView } from "./protocol";
import { count, nodeLabel } from "./text";

const BAR_ORDER: readonly (keyof Counts)[] = ["done", "running", "retrying", "failed", "cancelled"];
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

/** A bar in the colours of the families; what is waiting stays free. */
export class SegmentBar {
  readonly element = html("div", { class: "bar", "aria-hidden": "true" });
  #segments = new Map<keyof Counts, HTMLElement>();

  update(counts: Counts, total: number): void {
    for (const word of BAR_ORDER) {
      let segment = this.#segments.get(word);
      if (!segment) {
        if (!counts[word]) continue;
        segment = html("i", { class: `b-${COUNT_LOOKS[word][0]}` });
        this.#segments.set(word, segment);
        this.element.append(...BAR_ORDER.flatMap((each) => this.#segments.get(each) ?? []));
      }
      segment.style.width = `${(100 * counts[word]) / Math.max(1, total)}%`;
      show(segment, counts[word] > 0);
    }
  }
}

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

export class Card {
  readonly element: HTMLElement;
  node: NodeView;
  /** The name of the button: in words what its text and its colours show. */
  #spoken = html("span", { class: "spoken" });
  #icon = icon("idle");
  #name = html("span", { class: "name" });
  #times = html("span", { class: "times" });
  #line = html("span", { class: "detail" });
  #alert = html("span", { class: "alert" });
  #bar: SegmentBar | null = null;
  #strip: SVGSVGElement | null = null;
  #shownStrip = "";
  #progress = html("i", { class: "progress" });

  constructor(node: NodeView) {
    this.node = node;
    const head = html("div", { class: "head", "aria-hidden": "true" }, this.#icon, this.#name, this.#times);
    const foot = html("div", { class: "foot", "aria-hidden": "true" }, this.#line, this.#alert);
    const middle: Element[] = [];
    if (node.kind === "group") {
      this.#bar = new SegmentBar();
      this.#strip = svg("svg", { class: "strip", "aria-hidden": "true" });
      middle.push(this.#bar.element, this.#strip);
    } else if (node.kind === "flow") {
      foot.append(html("span", { class: "tag" }, "subflow"));
    }
    this.element = html(
      "div",
      { class: "node", role: "button", tabindex: -1, "data-node": node.id, "data-kind": node.kind },
      html("i", { class: "side" }),
      this.#spoken,
      head,
      ...middle,
      foot,
      this.#progress,
    );
    this.#draw(node);
  }

  /** Draws `node` where it differs from what is shown; a view's nodes are replaced, never changed. */
  update(node: NodeView): void {
    if (node === this.node) return;
    this.node = node;
    this.#draw(node);
  }

  #draw(node: NodeView): void {
    const { element } = this;
    const { family, type } = node.state;
    const shape = shapeOf(node.state);
    set(element, {
      "data-family": shape === "cancelled" ? "gone" : family,
      "data-waiting": type === "SCHEDULED" || type === "PENDING",
      title: node.name,
    });
    setText(this.#spoken, nodeLabel(node) + (node.alert && node.total === 1 ? `, ${node.alert}` : ""));
    element.style.transform = `translate(${node.x}px,${node.y}px)`;
    element.style.width = `${node.w}px`;
    element.style.height = `${node.h}px`;
    setIcon(this.#icon, shape, family);
    setText(this.#name, node.name);
    setText(this.#times, node.kind === "group" ? `× ${count(node.total)}` : "");
    setText(this.#line, node.line);
    setText(this.#alert, node.alert);
    const shown = node.progress !== null && node.kind !== "group" && family === "active";
    show(this.#progress, shown);
    if (shown) this.#progress.style.width = `${100 * (node.progress ?? 0)}%`;
    this.#bar?.update(node.counts, node.total);
    this.#drawStrip(node);
  }

  #drawStrip(node: NodeView): void {
    const element = this.#strip;
    const key = `${node.w} ${node.h} ${node.strip}`;
    if (!element || key === this.#shownStrip) return;
    this.#shownStrip = key;
    const width = node.w - 26;
    const grid = stripGrid(node.strip.length, width, Math.max(12, node.h - 80));
    const height = round(grid.rows * grid.dy);
    set(element, { width, height, viewBox: `0 0 ${width} ${height}` });
    const dash = { "stroke-width": round(grid.dy - 0.7), "stroke-dasharray": `${round(grid.dx - 0.7)} .7` };
    const paths = [...stripPaths(node.strip, grid)].map(([letter, d]) =>
      svg("path", { class: `s-${COUNT_LOOKS[LETTERS[letter] ?? "waiting"][0]}`, d, ...dash }),
    );
    const rings = [...node.strip].flatMap((letter, i) =>
      letter === "f"
        ? `M${round((i % grid.columns) * grid.dx - 1)},${round(Math.floor(i / grid.columns) * grid.dy - 0.7)}` +
          `h${round(grid.dx + 1.3)}v${round(grid.dy + 1.3)}h${-round(grid.dx + 1.3)}z`
        : [],
    );
    // Among many failures rings would only blur the picture.
    if (rings.length > 24) rings.length = 0;
    element.replaceChildren(...paths, svg("path", { class: "ring", d: rings.join("") }));
  }
}
