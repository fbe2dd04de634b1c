/** The task runs as a table that is read and walked through row by row; what the graph shows, for whoever cannot see it. */

import { html, set, setText, show } from "./dom";
import type { Filter } from "./filter";
import type { NodeView, View } from "./protocol";
import { Row } from "./row";
import type { Look } from "./row";
import { count } from "./text";

const COLUMNS = ["Task", "State", "Runs", "About"];

export class List {
  readonly element: HTMLElement;
  #select: (node: number) => void;
  #table: HTMLTableElement;
  #body = html("tbody");
  #empty = html("p", { class: "hint" });
  #rows = new Map<string, Row>();
  #shown: string[] = [];
  #current = "";

  constructor(select: (node: number) => void) {
    this.#select = select;
    const head = html("tr", {}, ...COLUMNS.map((name) => html("th", { scope: "col" }, name)));
    this.#table = html("table", { role: "treegrid", "aria-label": "Task runs" }, html("thead", {}, head), this.#body);
    this.element = html("div", { class: "rows" }, this.#table, this.#empty);
    this.#body.addEventListener("click", (event) => this.#onClick(event));
    this.#body.addEventListener("keydown", (event) => this.#onKey(event));
    this.#body.addEventListener("focusin", (event) => this.#setCurrent(keyOf(event.target) ?? this.#current));
  }

  update(view: View, filter: Filter, selected: number | null): void {
    const nodes = view.nodes.filter((node) => filter.matches(node));
    this.#arrange(nodes.map((node) => `${node.id}`));
    for (const node of nodes) this.#rows.get(`${node.id}`)!.update(lookOf(node, node.id === selected));
    set(this.#table, { "aria-rowcount": nodes.length + 1 });
    show(this.#table, nodes.length > 0);
    show(this.#empty, nodes.length === 0);
    setText(this.#empty, filter.on ? filter.nothing : "No task has run yet.");
    if (selected !== null && this.#rows.has(`${selected}`)) this.#setCurrent(`${selected}`);
    else if (!this.#rows.has(this.#current)) this.#setCurrent(this.#shown[0] ?? "");
  }

  focus(node: number): void {
    this.#rows.get(`${node}`)?.element.focus();
  }

  /** Makes, keeps, orders and removes rows, so that those of `keys` are there. */
  #arrange(keys: string[]): void {
    if (keys.join() === this.#shown.join()) return;
    const gone = new Set(this.#rows.keys());
    keys.forEach((key, place) => {
      gone.delete(key);
      const row = this.#rows.get(key) ?? new Row(key);
      this.#rows.set(key, row);
      if (this.#body.children[place] !== row.element) this.#body.insertBefore(row.element, this.#body.children[place] ?? null);
    });
    for (const key of gone) {
      this.#rows.get(key)!.element.remove();
      this.#rows.delete(key);
    }
    this.#shown = keys;
  }

  #onClick(event: MouseEvent): void {
    const key = keyOf(event.target);
    if (key === null) return;
    this.#go(key);
    this.#select(Number(key));
  }

  #onKey(event: KeyboardEvent): void {
    const key = keyOf(event.target);
    if (key === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.#shown.indexOf(key);
    const places: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: this.#shown.length - 1 };
    if (event.key in places) this.#go(this.#shown[places[event.key]!] ?? key);
    else if (event.key === "Enter" || event.key === " ") this.#select(Number(key));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #go(key: string): void {
    this.#rows.get(key)?.element.focus();
  }

  /** Of all rows, one can be reached with Tab. */
  #setCurrent(key: string): void {
    for (const [each, row] of this.#rows) set(row.element, { tabindex: each === key ? 0 : -1 });
    this.#current = key;
  }
}

function keyOf(target: EventTarget | null): string | null {
  return (target instanceof Element && target.closest<HTMLElement>("[data-row]")?.dataset.row) || null;
}

function lookOf(node: NodeView, selected: boolean): Look {
  const { name, state, line, alert, total } = node;
  const times = node.kind === "group" ? `× ${count(total)}` : node.kind === "flow" ? "subflow" : "";
  return { name, times, state, runs: count(total), line, alert, selected };
}
