/** A row of tabs, of which one is chosen; the arrow keys walk through those that are shown. */

import { button, html, listen, set, taken } from "./dom";

export class Tabs<Name extends string> {
  readonly element: HTMLElement;
  #tabs: Map<Name, HTMLButtonElement>;
  #choose: (name: Name) => void;

  /** `choose` is called with the tab that was chosen; `panel` gives the id of what a tab shows. */
  constructor(label: string, names: readonly Name[], prefix: string, choose: (name: Name) => void, panel: (name: Name) => string) {
    this.#choose = choose;
    this.#tabs = new Map(
      names.map((name) => {
        const names = { role: "tab", id: `${prefix}-${name}-tab`, "aria-controls": panel(name) };
        return [name, button(names, () => choose(name))];
      }),
    );
    this.element = html("div", { class: "tabs", role: "tablist", "aria-label": label }, ...this.#tabs.values());
    listen(this.element, "keydown", (event) => this.#onKey(event));
  }

  of(name: Name): HTMLButtonElement {
    return this.#tabs.get(name)!;
  }

  update(chosen: Name): void {
    for (const [name, tab] of this.#tabs) {
      set(tab, { "aria-selected": String(name === chosen), tabindex: name === chosen ? 0 : -1 });
    }
  }

  #onKey(event: KeyboardEvent): void {
    const tabs = [...this.#tabs].filter(([, tab]) => !tab.hidden);
    const at = tabs.findIndex(([, tab]) => tab === event.target);
    const step = { ArrowRight: 1, ArrowLeft: tabs.length - 1 }[event.key];
    if (at < 0 || !step) return;
    const [name, tab] = tabs[(at + step) % tabs.length]!;
    this.#choose(name);
    tab.focus();
    taken(event);
  }
}
