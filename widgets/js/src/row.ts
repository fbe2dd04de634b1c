/** The rows of the list: call sites, their task runs, and the one that turns the pages of these. */

import { html, listen, set, setText, show } from "./dom";
import { icon, iconButton, setIcon, shapeOf } from "./icons";
import { PAGE } from "./protocol";
import type { Sort, StateView } from "./protocol";
import { count, stateWords } from "./text";

const SORTS: readonly Sort[] = ["place", "state", "duration"];

export interface Look {
  name: string;
  /** Beside the name: `× 3,376`. */
  times: string;
  state: StateView;
  runs: string;
  line: string;
  alert: string;
  selected: boolean;
  /** Whether its task runs are shown below it; null where there is nothing to show. */
  open: boolean | null;
  level: number;
  member: boolean;
}

export class Row {
  readonly element: HTMLTableRowElement;
  #twist = html("span", { class: "twist", "data-twist": true }, icon("more"));
  #icon = icon("idle");
  #name = html("b", "name");
  #times = html("span", "times");
  #state = html("td");
  #runs = html("td", "number");
  #line = html("span");
  #alert = html("span", "alert");

  constructor(key: string) {
    const head = html("span", "head", this.#twist, this.#icon, this.#name, this.#times);
    const cells = [html("td", {}, head), this.#state, this.#runs, html("td", "about", this.#line, this.#alert)];
    this.element = html("tr", { "data-row": key, tabindex: -1 }, ...cells);
  }

  update(look: Look): void {
    const { selected, open, level, member } = look;
    set(this.element, {
      "aria-selected": String(selected),
      "aria-level": level,
      "data-member": member,
      "aria-expanded": open === null ? null : String(open),
    });
    this.element.style.setProperty("--level", String(level - 1));
    set(this.#twist, { class: open === null ? "twist none" : "twist" });
    setIcon(this.#icon, shapeOf(look.state), look.state.family);
    setText(this.#name, look.name);
    set(this.#name, { title: look.name });
    setText(this.#times, look.times);
    setText(this.#state, stateWords(look.state));
    setText(this.#runs, look.runs);
    setText(this.#line, look.line);
    setText(this.#alert, look.alert);
  }
}

/** Turns pages: `first` is the place of the first task run that is shown, of `total`. */
export class PageRow {
  readonly element: HTMLTableRowElement;
  #first = 0;
  #total = 0;
  #text = html("span");
  #back: HTMLButtonElement;
  #on: HTMLButtonElement;
  #place = html("input", { type: "text", inputmode: "numeric", size: 6, "aria-label": "Place of the task run to go to" });
  #sort = html("select", { "aria-label": "Order" }, ...SORTS.map((by) => html("option", { value: by }, `by ${by}`)));
  #goTo = html("label", "go", "Go to", this.#place);

  /** `turn` is called with the place that is to be shown, `sort` with the order that was chosen. */
  constructor(key: string, turn: (place: number) => void, sort: (by: Sort) => void) {
    listen(this.#sort, "change", () => sort(this.#sort.value as Sort));
    const step = (step: number): void => {
      const place = this.#first + step * PAGE;
      if (place >= 0 && place < this.#total) turn(place);
    };
    this.#back = iconButton("back", "Earlier task runs", () => step(-1));
    this.#on = iconButton("more", "Later task runs", () => step(1));
    listen(this.#place, "keydown", (event) => {
      event.stopPropagation();
      const place = Number(this.#place.value || "x");
      if (event.key === "Enter" && place >= 0) turn(Math.min(Math.floor(place), this.#total - 1));
    });
    const parts = html("span", "turn", this.#back, this.#text, this.#on, this.#goTo, this.#sort);
    this.element = html("tr", { "data-row": key, class: "turns" }, html("td", { colspan: 4 }, parts));
  }

  /** `total` is null while it is not known; `any` says that a place is one among all task runs. */
  update(first: number, total: number | null, any: boolean, sort: Sort): void {
    this.#first = first;
    this.#total = total ?? 0;
    const last = Math.min(first + PAGE, this.#total);
    this.#sort.value = sort;
    const places = any ? `${count(first)} to ${count(last - 1)}` : `${count(first + 1)} to ${count(last)}`;
    setText(this.#text, total === null ? "Loading…" : `${places} of ${count(this.#total)}`);
    set(this.#back, { "aria-disabled": first === 0 });
    set(this.#on, { "aria-disabled": last >= this.#total });
    for (const button of [this.#back, this.#on]) show(button, this.#total > PAGE);
    show(this.#goTo, any && this.#total > PAGE);
  }
}
