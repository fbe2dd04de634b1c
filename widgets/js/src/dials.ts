/** What limits the runs of a task, set while they are at work; what was typed is judged in Python alone. */

import { html, listen, set, show, taken, tell } from "./dom";
import type { Detail } from "./protocol";
import type { Store } from "./store";

export class Dials {
  readonly element: HTMLElement;
  #store: Store;
  #rows = html("div", "fields");
  #said = html("p", { role: "status" });
  #node: number | null = null;

  constructor(store: Store) {
    this.#store = store;
    this.element = html("div", "dials", this.#rows, this.#said);
  }

  /** Shows the dials of a node; of null none. */
  update(detail: Detail | null): void {
    const { said, connection } = this.#store;
    const shown = detail !== null && connection === "live" && detail.dials.length > 0;
    show(this.element, shown);
    if (!shown) return;
    const mine = said?.verb === "turn" && said.of === detail.node ? said : null;
    set(this.#said, { class: mine?.wrong ? "wrong" : "about" });
    tell(this.#said, mine?.text ?? "");
    if (detail.node !== this.#node) this.#draw(detail);
    this.#node = detail.node;
    // What was typed stays: the attribute is what an input shows that nobody has touched.
    detail.dials.forEach(({ value }, at) => set(this.#rows.children[at]!.lastElementChild!, { value }));
  }

  #draw({ node, dials }: Detail): void {
    const rows = dials.map(({ dial, label }) => {
      const input = html("input", { type: "text", inputmode: "text", placeholder: "any", autocomplete: "off" });
      listen(input, "keydown", (event) => {
        if (event.key !== "Enter") return;
        this.#store.turn(node, dial, input.value);
        taken(event);
      });
      return html("label", "field", html("span", "label", label), input);
    });
    this.#rows.replaceChildren(...rows);
  }
}
