/** One node of the graph: a card for a task run or a subflow, stacked sheets for a group. */

import { html, set, setText, show, svg } from "./dom";
import { COUNT_LOOKS, icon, setIcon, shapeOf } from "./icons";
import type { Counts, NodeView } from "./protocol";
import { drawStrip } from "./strip";
import { nodeLabel, timesOf } from "./text";

const BAR_ORDER: readonly (keyof Counts)[] = ["done", "running", "retrying", "failed", "cancelled"];
/** A bar in the colours of the families; what is waiting stays free. */
export class SegmentBar {
  readonly element = html("div", { class: "bar", "aria-hidden": true });
  #segments = new Map<keyof Counts, HTMLElement>();

  update(counts: Counts, total: number): void {
    for (const word of BAR_ORDER) {
      let segment = this.#segments.get(word);
      if (!segment) {
        if (!counts[word]) continue;
        segment = html("i", `of-${COUNT_LOOKS[word][0]}`);
        this.#segments.set(word, segment);
        this.element.append(...BAR_ORDER.flatMap((each) => this.#segments.get(each) ?? []));
      }
      segment.style.width = `${(100 * counts[word]) / Math.max(1, total)}%`;
      show(segment, counts[word] > 0);
    }
  }
}

export class Card {
  readonly element: HTMLElement;
  node: NodeView;
  /** The name of the button: in words what its text and its colours show. */
  #spoken = html("span", "spoken");
  #icon = icon("idle");
  #name = html("span", "name");
  #times = html("span", "times");
  #line = html("span", "detail");
  #alert = html("span", "alert");
  #bar: SegmentBar | null = null;
  #strip: SVGSVGElement | null = null;
  #progress = html("i", "progress");
  /** Opens the task runs of a group, or a subflow; beside the card, because a button holds no other.  Null for a task. */
  readonly expand: HTMLButtonElement | null = null;
  #word = html("span");
  #glyph = icon("fit");

  constructor(node: NodeView) {
    this.node = node;
    if (node.kind !== "task") {
      const names = { class: "expand", "data-expand": node.id, tabindex: -1 };
      this.expand = html("button", { type: "button", ...names }, this.#glyph, this.#word);
    }
    const head = html("div", { class: "head", "aria-hidden": true }, this.#icon, this.#name, this.#times);
    const foot = html("div", { class: "foot", "aria-hidden": true }, this.#line, this.#alert);
    const middle: Element[] = [];
    if (node.kind === "group") {
      this.#bar = new SegmentBar();
      this.#strip = svg("svg", { class: "strip", "aria-hidden": true });
      middle.push(this.#bar.element, this.#strip);
    }
    this.element = html(
      "div",
      { class: "node", role: "button", tabindex: -1, "data-node": node.id, "data-kind": node.kind },
      html("i", "side"),
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
      "aria-expanded": node.open === null ? null : String(node.open),
    });
    setText(this.#spoken, nodeLabel(node) + (node.alert && node.total === 1 ? `, ${node.alert}` : ""));
    element.style.transform = `translate(${node.x}px,${node.y}px)`;
    if (this.expand) {
      const word = node.open ? "Close" : node.kind === "flow" ? "Open" : "Expand";
      show(this.expand, node.kind === "group" || node.open !== null);
      set(this.expand, { "aria-label": `${word} ${node.name}` });
      setText(this.#word, word);
      setIcon(this.#glyph, node.open ? "close" : "fit");
      this.expand.style.translate = `calc(${node.x + node.w - 6}px - 100%) ${node.y + (node.open ? 1 : 5)}px`;
    }
    element.style.width = `${node.w}px`;
    element.style.height = `${node.h}px`;
    setIcon(this.#icon, shape, family);
    setText(this.#name, node.name);
    setText(this.#times, timesOf(node));
    setText(this.#line, node.kind === "flow" ? `subflow · ${node.line}` : node.line);
    setText(this.#alert, node.alert);
    const shown = node.progress !== null && node.kind !== "group" && family === "active";
    show(this.#progress, shown);
    if (shown) this.#progress.style.width = `${100 * (node.progress ?? 0)}%`;
    this.#bar?.update(node.counts, node.total);
    this.#drawStrip(node);
  }

  #drawStrip(node: NodeView): void {
    if (this.#strip) drawStrip(this.#strip, node.strip, node.w - 26, Math.max(12, node.h - 80));
  }
}
