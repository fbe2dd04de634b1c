/** The row above the picture: which view of the task runs, and the words to look for. */

import { html, set } from "./dom";
import { icon } from "./icons";

export const MODES = ["graph", "timeline", "list"] as const;
export type Mode = (typeof MODES)[number];

const NAMES: Record<Mode, string> = { graph: "Graph", timeline: "Timeline", list: "List" };

export class Toolbar {
  readonly element: HTMLElement;
  #tabs = new Map<Mode, HTMLButtonElement>();
  #choose: (mode: Mode) => void;
  #search = html("input", { type: "search", "aria-label": "Find tasks", placeholder: "Find task, state, task[17]" });

  /**
   * `choose` is called with the view that was chosen, `find` with each change of the words to look for, and `go` when
   * what they say is to be selected; `prefix` makes the ids of its parts.
   */
  constructor(prefix: string, choose: (mode: Mode) => void, find: (text: string) => void, go: () => void) {
    this.#choose = choose;
    const list = html("div", { class: "tabs", role: "tablist", "aria-label": "View" });
    for (const mode of MODES) {
      const attributes = { type: "button", role: "tab", id: `${prefix}-${mode}-tab`, "aria-controls": `${prefix}-${mode}` };
      const tab = html("button", attributes, icon(mode), NAMES[mode]);
      tab.addEventListener("click", () => this.#choose(mode));
      this.#tabs.set(mode, tab);
      list.append(tab);
    }
    list.addEventListener("keydown", (event) => this.#onKey(event));
    this.#search.addEventListener("input", () => find(this.#search.value));
    this.#search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") go();
      else if (event.key === "Escape" && this.#search.value) find((this.#search.value = ""));
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    const search = html("label", { class: "search" }, icon("search"), this.#search, html("kbd", { "aria-hidden": "true" }, "/"));
    this.element = html("div", { class: "toolbar" }, list, html("span", { class: "space" }), search);
  }

  /** Where words to look for are typed. */
  search(): void {
    this.#search.focus();
    this.#search.select();
  }

  update(mode: Mode): void {
    for (const [each, tab] of this.#tabs) {
      set(tab, { "aria-selected": String(each === mode), tabindex: each === mode ? 0 : -1 });
    }
  }

  #onKey(event: KeyboardEvent): void {
    const at = MODES.findIndex((mode) => this.#tabs.get(mode) === event.target);
    const step = { ArrowRight: 1, ArrowLeft: MODES.length - 1 }[event.key];
    if (at < 0 || !step) return;
    const mode = MODES[(at + step) % MODES.length]!;
    this.#choose(mode);
    this.#tabs.get(mode)!.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
