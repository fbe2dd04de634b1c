/** One row of the list: a call site, with what its cells show. */

import { html, set, setText } from "./dom";
import { icon, setIcon, shapeOf } from "./icons";
import type { StateView } from "./protocol";
import { stateWords } from "./text";

export interface Look {
  name: string;
  /** Beside the name: `× 3,376`. */
  times: string;
  state: StateView;
  runs: string;
  line: string;
  alert: string;
  selected: boolean;
}

export class Row {
  readonly element: HTMLTableRowElement;
  #icon = icon("idle");
  #name = html("b", { class: "name" });
  #times = html("span", { class: "times" });
  #state = html("td");
  #runs = html("td", { class: "number" });
  #line = html("span");
  #alert = html("span", { class: "alert" });

  constructor(key: string) {
    const head = html("span", { class: "head" }, this.#icon, this.#name, this.#times);
    const cells = [html("td", {}, head), this.#state, this.#runs, html("td", { class: "about" }, this.#line, this.#alert)];
    this.element = html("tr", { "data-row": key, tabindex: -1 }, ...cells);
  }

  update(look: Look): void {
    set(this.element, { "aria-selected": String(look.selected) });
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
