/** A model without a kernel, and views to show. */

import type { Model } from "../src/model";
import type { Counts, EdgeView, FromKernel, NodeView, RunView, StateView, ToKernel, View } from "../src/protocol";

export class FakeModel implements Model {
  sent: ToKernel[] = [];
  traits: Record<string, unknown> = { _view: {}, _live: true };
  #handlers = new Map<string, Set<(...args: never[]) => void>>();

  get(name: string): unknown {
    return this.traits[name];
  }

  send(content: unknown): void {
    this.sent.push(content as ToKernel);
  }

  on(event: string, callback: (...args: never[]) => void): void {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(callback));
  }

  off(event: string, callback: (...args: never[]) => void): void {
    this.#handlers.get(event)?.delete(callback);
  }

  /** What the kernel says. */
  say(message: FromKernel): void {
    this.emit("msg:custom", message);
  }

  emit(event: string, message?: unknown): void {
    for (const handler of this.#handlers.get(event) ?? []) (handler as (message: unknown) => void)(message);
  }

  setTrait(name: string, value: unknown): void {
    this.traits[name] = value;
    this.emit(`change:${name}`);
  }

  kinds(): string[] {
    return this.sent.map((message) => message.kind);
  }

  last<K extends ToKernel["kind"]>(kind: K): Extract<ToKernel, { kind: K }> {
    const found = this.sent.filter((message) => message.kind === kind).at(-1);
    if (!found) throw new Error(`nothing of kind ${kind} was sent`);
    return found as Extract<ToKernel, { kind: K }>;
  }

  get listening(): number {
    return [...this.#handlers.values()].reduce((sum, handlers) => sum + handlers.size, 0);
  }
}

export const RUNNING: StateView = { type: "RUNNING", name: "Running", family: "active", message: "" };
export const DONE: StateView = { type: "COMPLETED", name: "Completed", family: "done", message: "" };
export const FAILED: StateView = { type: "FAILED", name: "Failed", family: "bad", message: "" };
export const WAITING: StateView = { type: "PENDING", name: "NotReady", family: "idle", message: "" };
export const PAUSED: StateView = { type: "PAUSED", name: "Paused", family: "attention", message: "" };

export function counts(some: Partial<Counts> = {}): Counts {
  return { done: 0, running: 0, retrying: 0, failed: 0, cancelled: 0, waiting: 0, ...some };
}

export function run(some: Partial<RunView> = {}): RunView {
  return {
    id: "run-1",
    number: 1,
    flow: "airports",
    name: "amber-otter",
    state: RUNNING,
    started: 1,
    elapsed: 12,
    running: true,
    left: null,
    counts: counts({ done: 1, running: 1 }),
    total: 3,
    can: ["pause", "cancel"],
    note: "",
    saved: true,
    durability: "process",
    ...some,
  };
}

export function node(id: number, some: Partial<NodeView> = {}): NodeView {
  return {
    id,
    kind: "task",
    name: `task_${id}`,
    line: "0.2s",
    alert: "",
    state: DONE,
    total: 1,
    counts: counts({ done: 1 }),
    strip: "",
    progress: null,
    open: null,
    parent: null,
    x: 20 + 208 * (id - 1),
    y: 20,
    w: 156,
    h: 42,
    ...some,
  };
}

export function group(id: number, some: Partial<NodeView> = {}): NodeView {
  return node(id, {
    kind: "group",
    state: RUNNING,
    line: "2,100 of 3,376",
    alert: "3 failed",
    total: 3376,
    counts: counts({ done: 2100, running: 16, failed: 3, waiting: 1257 }),
    strip: "ddddrrfw",
    progress: 0.62,
    w: 252,
    h: 98,
    ...some,
  });
}

export function edge(source: number, target: number, some: Partial<EdgeView> = {}): EdgeView {
  return { source, target, kind: "future", waiting: false, path: `M${source},5C10,5 20,5 ${target}0,41`, ...some };
}

export function view(seq: number, nodes: NodeView[], some: Partial<View> = {}): View {
  return { v: 1, seq, run: run(), width: 900, height: 200, nodes, edges: [], ...some };
}
