/** A group opened over the graph: a strip of all its task runs, and their list, a page at a time. */

import { html, listen, set, setText, show, svg } from "./dom";
import type { Filter } from "./filter";
import { iconButton } from "./icons";
import { List } from "./list";
import type { View } from "./protocol";
import type { Select, Selection } from "./selection";
import type { Store } from "./store";
import { drawStrip, stripGrid } from "./strip";
import { timesOf } from "./text";

const STRIP_HEIGHT = 72;
const STRIP_WIDTH = 560;

export class Expanded {
  readonly element: HTMLElement;
  node: number | null = null;
  #store: Store;
  #name = html("b", "name");
  #times = html("span", "times");
  #line = html("span", "detail");
  #strip = svg("svg", { class: "strip", "aria-hidden": true });
  #list: List;

  constructor(store: Store, select: Select, close: () => void) {
    this.#store = store;
    this.#list = new List(store, select, () => {}, "Task runs of the group");
    const shut = iconButton("close", "Close the group", close, "close");
    const top = html("div", "top", this.#name, this.#times, this.#line, html("span", "space"), shut);
    const label = "Task runs of a group";
    this.element = html("section", { class: "expanded", "aria-label": label, hidden: true }, top, this.#strip, this.#list.element);
    listen(this.#strip, "click", (event) => this.#onStrip(event));
  }

  open(node: number | null): void {
    this.node = node;
    show(this.element, node !== null);
  }

  update(view: View, filter: Filter, selected: Selection | null): void {
    const node = this.node === null ? undefined : this.#store.nodes.get(this.node);
    if (!node) return;
    setText(this.#name, node.name);
    setText(this.#times, timesOf(node));
    setText(this.#line, [node.line, node.alert].filter(Boolean).join(" · "));
    drawStrip(this.#strip, node.strip, STRIP_WIDTH, STRIP_HEIGHT);
    set(this.#strip, { preserveAspectRatio: "none" });
    this.#list.update(view, filter, selected, node.id);
  }

  /** Gives the focus to the first task run, as soon as it is there. */
  enter(): void {
    if (this.node !== null) this.#list.goTo(this.node, 0);
  }

  focus(selection: Selection): void {
    this.#list.focus(selection);
  }

  #onStrip(event: MouseEvent): void {
    const node = this.node === null ? undefined : this.#store.nodes.get(this.node);
    const box = this.#strip.getBoundingClientRect();
    if (!node || !box.width) return;
    const grid = stripGrid(node.strip.length, STRIP_WIDTH, STRIP_HEIGHT);
    const column = Math.floor(((event.clientX - box.left) / box.width) * (STRIP_WIDTH / grid.dx));
    const row = Math.floor(((event.clientY - box.top) / box.height) * grid.rows);
    const cell = Math.min(node.strip.length - 1, row * grid.columns + Math.min(column, grid.columns - 1));
    this.#list.goTo(node.id, Math.min(node.total - 1, cell * Math.ceil(node.total / node.strip.length)));
  }
}
