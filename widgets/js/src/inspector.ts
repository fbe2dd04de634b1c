/** What is to be known of the selected node, beside the graph. */

import { html, setText, show } from "./dom";
import { Pill } from "./header";
import { icon, shapeOf } from "./icons";
import type { Detail, Failure, NodeView } from "./protocol";
import type { Store } from "./store";
import { count, duration, plural } from "./text";

export class Inspector {
  readonly element: HTMLElement;
  node: number | null = null;

  #store: Store;
  #name = html("b", { class: "name" });
  #times = html("span", { class: "times" });
  #pill = new Pill();
  #message = html("p", { class: "message" });
  #facts = html("dl");
  #failures = html("div", { class: "failures" });
  #hint = html("p", { class: "hint" });
  #shown: Detail | null = null;

  constructor(store: Store, close: () => void) {
    this.#store = store;
    const shut = html("button", { type: "button", class: "close", "aria-label": "Close", title: "Close" }, icon("close"));
    shut.addEventListener("click", close);
    this.element = html(
      "aside",
      { class: "inspector", "aria-label": "Selected node", hidden: true },
      html("div", { class: "top" }, this.#name, this.#times, this.#pill.element, html("span", { class: "space" }), shut),
      this.#message,
      this.#facts,
      this.#failures,
      this.#hint,
    );
  }

  open(node: number | null): void {
    this.node = node;
    show(this.element, node !== null);
    if (node === null) return;
    this.element.scrollTop = 0;
    this.#store.inspect(node, true);
    this.update();
  }

  update(): void {
    const node = this.node === null ? undefined : this.#store.nodes.get(this.node);
    if (!node) return;
    this.#store.inspect(node.id);
    const detail = this.#store.details.get(node.id);
    const state = detail?.state.type === node.state.type ? detail.state : node.state;
    setText(this.#name, detail?.name ?? node.name);
    setText(this.#times, node.kind === "group" ? `× ${count(node.total)}` : "");
    this.#pill.update(state);
    setText(this.#message, state.message);
    // A failure says the same, with where it happened.
    show(this.#message, state.message !== "" && !detail?.failures.length);
    this.#updateHint(node, detail);
    if (detail && detail !== this.#shown) this.#draw(detail);
    show(this.#facts, detail !== undefined);
    show(this.#failures, detail !== undefined);
  }

  #updateHint(node: NodeView, detail: Detail | undefined): void {
    const { reachable, connection } = this.#store;
    const away = !reachable && connection !== "connecting";
    const line = [node.line, node.alert].filter(Boolean).join(" · ");
    const text = away ? "Details need a connection to the kernel." : detail ? "" : "Loading…";
    setText(this.#hint, detail || !line ? text : `${line}. ${text}`);
    show(this.#hint, text !== "");
  }

  #draw(detail: Detail): void {
    const same = this.#shown?.node === detail.node && equal(this.#shown.failures, detail.failures);
    this.#shown = detail;
    this.#facts.replaceChildren(
      ...detail.facts.flatMap((fact) => [html("dt", {}, fact.label), html("dd", {}, fact.text)]),
    );
    if (same) return;
    const open = new Set(
      [...this.#failures.querySelectorAll("details[open]")].map((each) => (each as HTMLElement).dataset.label),
    );
    this.#failures.replaceChildren(...detail.failures.map((failure) => drawFailure(failure, open.has(failure.label))));
    if (detail.more) this.#failures.append(html("p", { class: "hint" }, `and ${count(detail.more)} more`));
  }
}

function drawFailure(failure: Failure, open: boolean): HTMLElement {
  const times = [plural(failure.attempts, "attempt")];
  if (failure.seconds !== null) times.push(duration(failure.seconds));
  const element = html(
    "section",
    { class: "failure" },
    html(
      "div",
      { class: "failure-head" },
      icon(shapeOf(failure.state), failure.state.family),
      html("b", {}, failure.label),
      html("span", { class: "times" }, times.join(" · ")),
    ),
    html("pre", { class: "error" }, failure.error),
  );
  if (failure.traceback) {
    element.append(
      html(
        "details",
        { "data-label": failure.label, open },
        html("summary", {}, "Traceback"),
        html("pre", { tabindex: 0 }, failure.traceback),
      ),
    );
  }
  return element;
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
