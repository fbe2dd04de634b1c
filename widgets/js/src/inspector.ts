/** What is to be known of what is selected, beside the picture: of a node with many task runs, or of one task run. */

import { Actions } from "./actions";
import { Dials } from "./dials";
import { button, html, setText, show, tell } from "./dom";
import { Pill } from "./header";
import { icon, iconButton } from "./icons";
import { MemberStory, factRows } from "./member";
import type { Detail, ErrorView, Member, NodeView, StateView } from "./protocol";
import type { Select, Selection } from "./selection";
import type { Store } from "./store";
import { count, timesOf } from "./text";

export class Inspector {
  readonly element: HTMLElement;
  selected: Selection | null = null;

  #store: Store;
  #select: Select;
  #name = html("b", "name");
  #times = html("span", "times");
  #pill = new Pill();
  #up = button({ class: "link" }, () => this.selected && this.#select({ node: this.selected.node, member: null }));
  #all: HTMLButtonElement;
  #message = html("p", "message");
  #facts = html("dl");
  #errors = html("div", "errors");
  #story: MemberStory;
  #actions: Actions;
  #dials: Dials;
  #hint = html("p", "hint");
  #shown: Detail | null = null;

  /** `expand` shows the task runs of a node. */
  constructor(store: Store, prefix: string, select: Select, expand: (node: number) => void) {
    this.#store = store;
    this.#select = select;
    this.#story = new MemberStory(select, prefix);
    this.#actions = new Actions(store);
    this.#dials = new Dials(store);
    const shut = iconButton("close", "Close", () => select(null), "close");
    this.#all = button({ class: "all" }, () => this.selected && expand(this.selected.node));
    const top = html("div", "top", this.#name, this.#times, this.#pill.element, html("span", "space"), shut);
    const node = [this.#message, this.#facts, this.#dials.element, this.#all, this.#errors];
    const label = "Selected node";
    this.element = html("aside", { class: "inspector", "aria-label": label, hidden: true });
    this.element.append(top, this.#up, ...node, this.#story.element, this.#actions.element, this.#hint);
  }

  /** The number of the task run that is shown; null where it is a node of many. */
  get number(): number | null {
    if (!this.selected) return null;
    return this.selected.member ?? this.#store.details.get(this.selected.node)?.member ?? null;
  }

  open(selected: Selection | null): void {
    this.selected = selected;
    show(this.element, selected !== null);
    if (selected === null) return;
    this.element.scrollTop = 0;
    this.#store.inspect(selected.node, true);
    this.update();
  }

  update(): void {
    const node = this.selected ? this.#store.nodes.get(this.selected.node) : undefined;
    if (!node) return;
    this.#store.inspect(node.id);
    const detail = this.#store.details.get(node.id);
    const number = this.number;
    if (number !== null) this.#store.fetchMember(node.id, number);
    const member = number === null ? undefined : this.#store.members.get(number);
    const ofGroup = this.selected?.member != null && node.total > 1;
    this.#drawTop(node, detail, member, ofGroup);
    this.#story.update(member);
    this.#actions.update(member);
    if (detail && detail !== this.#shown) this.#draw(detail);
    const known = detail !== undefined && !member && !ofGroup;
    show(this.#facts, known);
    this.#dials.update(known ? detail : null);
    show(this.#errors, known);
    setText(this.#all, `Show the ${count(node.total)} task runs`);
    show(this.#all, node.kind === "group" && !ofGroup);
    this.#updateHint(node, ofGroup ? member : detail);
  }

  #drawTop(node: NodeView, detail: Detail | undefined, member: Member | undefined, ofGroup: boolean): void {
    // What was told of the node may be older than the node itself.
    const current = (told: StateView | undefined): StateView => (told?.type === node.state.type ? told : node.state);
    const state = ofGroup ? member?.state : current(member?.state ?? detail?.state);
    setText(this.#name, member?.label ?? detail?.name ?? node.name);
    setText(this.#times, member ? "" : timesOf(node));
    show(this.#pill.element, state !== undefined);
    if (state) this.#pill.update(state);
    setText(this.#up, `All of ${node.name}`);
    show(this.#up, ofGroup);
    setText(this.#message, state?.message ?? "");
    // An error says the same, with where it happened.
    show(this.#message, !!state?.message && !member?.error && (ofGroup || !detail?.errors.length));
  }

  #updateHint(node: NodeView, told: Detail | Member | undefined): void {
    const { reachable, connection } = this.#store;
    const away = !reachable && connection !== "connecting";
    const line = [node.line, node.alert].filter(Boolean).join(" · ");
    const text = away ? "Details need a connection to the kernel." : told ? "" : "Loading…";
    tell(this.#hint, told || !line ? text : `${line}. ${text}`);
  }

  #draw(detail: Detail): void {
    const same = this.#shown?.node === detail.node && equal(this.#shown.errors, detail.errors);
    this.#shown = detail;
    this.#facts.replaceChildren(...factRows(detail.facts));
    if (same) return;
    const open = new Set(
      [...this.#errors.querySelectorAll("details[open]")].map((each) => (each as HTMLElement).dataset.label),
    );
    this.#errors.replaceChildren(...detail.errors.map((each) => this.#drawError(detail, each, open.has(each.error))));
  }

  #drawError(detail: Detail, { error, total, runs, traceback }: ErrorView, open: boolean): HTMLElement {
    const links = runs.map(({ number, label }) =>
      button({ class: "link" }, () => this.#select({ node: detail.node, member: number }), label),
    );
    const more = total - runs.length;
    const rest = more ? [html("span", "times", `and ${count(more)} more`)] : [];
    const head = html("div", "failure-head", icon("bad", "bad"), html("b", {}, `${count(total)} failed`));
    const where = html("div", "where", ...links, ...rest);
    const element = html("section", "failure", head, html("pre", "error", error), where);
    if (traceback) {
      const trace = html("pre", { tabindex: 0 }, traceback);
      const label = total > 1 ? "Traceback of the first" : "Traceback";
      element.append(html("details", { "data-label": error, open }, html("summary", {}, label), trace));
    }
    return element;
  }
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
