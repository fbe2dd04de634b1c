/** The row above the picture: which view of the task runs, and the words to look for. */

import { html, listen, taken } from "./dom";
import { icon } from "./icons";
import { Tabs } from "./tabs";

export const MODES = ["graph", "timeline", "list"] as const;
export type Mode = (typeof MODES)[number];

const NAMES: Record<Mode, string> = { graph: "Graph", timeline: "Timeline", list: "List" };

export class Toolbar {
  readonly element: HTMLElement;
  #tabs: Tabs<Mode>;
  #search = html("input", { type: "search", "aria-label": "Find tasks", placeholder: "Find task, state, task[17]" });

  /**
   * `choose` is called with the view that was chosen, `find` with each change of the words to look for, and `go` when
   * what they say is to be selected; `prefix` makes the ids of its parts.
   */
  constructor(prefix: string, choose: (mode: Mode) => void, find: (text: string) => void, go: () => void) {
    this.#tabs = new Tabs("View", MODES, prefix, choose, (mode) => `${prefix}-${mode}`);
    for (const mode of MODES) this.#tabs.of(mode).append(icon(mode), NAMES[mode]);
    listen(this.#search, "input", () => find(this.#search.value));
    listen(this.#search, "keydown", (event) => {
      if (event.key === "Enter") go();
      else if (event.key === "Escape" && this.#search.value) find((this.#search.value = ""));
      else return;
      taken(event);
    });
    const search = html("label", "search", icon("search"), this.#search, html("kbd", { "aria-hidden": true }, "/"));
    this.element = html("div", "toolbar", this.#tabs.element, html("span", "space"), search);
  }

  /** Where words to look for are typed. */
  search(): void {
    this.#search.focus();
    this.#search.select();
  }

  update(mode: Mode): void {
    this.#tabs.update(mode);
  }
}
