/** A display of a run with a model instead of a kernel; each test has one of its own. */

import { afterEach, beforeEach, vi } from "vitest";

import widget from "../src/index";
import type { NodeView, RunView, View } from "../src/protocol";
import { FakeModel, run } from "./fakes";

export let model: FakeModel;
export let el: HTMLElement;
export let cleanups: (() => void)[];

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel();
  el = document.body.appendChild(document.createElement("div"));
  cleanups = [];
});

afterEach(() => {
  (el.shadowRoot?.activeElement as HTMLElement | null)?.blur(); // jsdom would look for the focus in what is gone
  for (const cleanup of cleanups.reverse()) cleanup();
  document.body.replaceChildren();
  vi.useRealTimers();
});

export function start(): void {
  const { initialize, render } = widget();
  cleanups.push(initialize({ model }), render({ model, el }));
}

/** A live view of `shown`. */
export function live(shown: View): void {
  start();
  vi.advanceTimersByTime(1);
  model.say({ kind: "snap", view: shown });
  frame();
}

let seq = 1;

export function delta(nodes: NodeView[], some: Partial<RunView> = {}, more: Partial<View> = {}): void {
  model.say({ kind: "delta", delta: { seq: ++seq, run: run(some), nodes, ...more } });
  frame();
}

beforeEach(() => {
  seq = 1;
});

export function frame(): void {
  vi.advanceTimersByTime(20);
}

export function all(selector: string): HTMLElement[] {
  return [...el.shadowRoot!.querySelectorAll<HTMLElement>(selector)];
}

export function one(selector: string): HTMLElement {
  const found = all(selector);
  if (found.length !== 1) throw new Error(`${found.length} of ${selector}`);
  return found[0]!;
}

export function shownText(selector: string): string[] {
  return all(selector)
    .filter((element) => !element.closest("[hidden]"))
    .map((element) => element.textContent ?? "");
}

export function key(element: HTMLElement, name: string): KeyboardEvent {
  const event = new KeyboardEvent("keydown", { key: name, bubbles: true, composed: true, cancelable: true });
  element.dispatchEvent(event);
  return event;
}

export function turnTo(name: string): void {
  all("[role=tab]").find((tab) => tab.textContent === name)!.click();
}

export function rows(): string[] {
  return all("tbody tr").map((row) => [...row.children].map((cell) => cell.textContent).join(" | "));
}

export function focused(): HTMLElement {
  return el.shadowRoot!.activeElement as HTMLElement;
}
