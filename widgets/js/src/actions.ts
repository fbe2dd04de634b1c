/** What may be done with one task run: to run it again, to load its result into the notebook, to copy its error. */

import { button, html, set, setText, show, tell } from "./dom";
import { icon } from "./icons";
import type { Member } from "./protocol";
import type { Store } from "./store";

export class Actions {
  readonly element: HTMLElement;
  #store: Store;
  #member: Member | null = null;
  #word = html("span");
  #retry = button({}, () => this.#act(this.#planned ? "rerun" : "plan"), icon("retry"), this.#word);
  #load = button({}, () => this.#act("load"), "Load result");
  #copy = button({}, () => void this.#copyError(), "Copy error");
  #copied: Member | null = null;
  #said = html("p", { role: "status" });

  constructor(store: Store) {
    this.#store = store;
    const row = html("div", "buttons", this.#retry, this.#load, this.#copy);
    this.element = html("div", "actions", this.#said, row);
  }

  update(member: Member | undefined): void {
    this.#member = member ?? null;
    const { said, pending, reachable, view } = this.#store;
    const can = reachable ? (member?.actions ?? []) : [];
    show(this.#retry, can.includes("rerun") && !view?.run.running);
    show(this.#load, can.includes("load"));
    show(this.#copy, !!member?.error);
    setText(this.#word, this.#planned ? "Run again" : "Retry task");
    set(this.#retry, { class: this.#planned && "primary" });
    const busy = pending.has("load") || pending.has("plan") || pending.has("rerun");
    for (const each of [this.#retry, this.#load]) set(each, { "aria-disabled": busy });
    const mine = said && said.verb !== "turn" && said.of === member?.number ? said : null;
    set(this.#said, { class: mine?.wrong ? "wrong" : "about" });
    tell(this.#said, mine?.text ?? (member && member === this.#copied ? "Copied." : ""));
    show(this.element, member !== undefined);
  }

  /** True once it was said what a rerun would do: the next press does it. */
  get #planned(): boolean {
    const { said } = this.#store;
    return said?.verb === "plan" && !said.wrong && said.of === this.#member?.number;
  }

  #act(verb: "load" | "plan" | "rerun"): void {
    this.#copied = null;
    if (this.#member) this.#store.act(verb, this.#member.number);
  }

  async #copyError(): Promise<void> {
    const member = this.#member;
    if (!member) return;
    await copy(`${member.label}\n${member.traceback || member.error}`);
    this.#copied = member;
    this.#store.said = null;
    this.update(member);
  }
}

/** Puts a text on the clipboard; without the right to do that, as a person would who selects it. */
async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = html("textarea", {}, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
