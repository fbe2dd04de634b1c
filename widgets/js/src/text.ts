/** Numbers and times as people read them; `tidegate_widgets/picture.py` writes them the same way. */

import type { Counts, NodeView, StateView } from "./protocol";

export const COUNT_WORDS: readonly (keyof Counts)[] = [
  "done",
  "running",
  "retrying",
  "failed",
  "cancelled",
  "waiting",
];

export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Seconds as `43ms`, `0.4s`, `48s`, `2m 46s` or `3h 05m`, by the rule of `tidegate/moments.py`. */
export function duration(seconds: number): string {
  if (seconds < 0.095) return `${Math.max(0, round(seconds * 1000))}ms`;
  if (seconds < 9.95) return `${tenths(seconds)}s`;
  const whole = round(seconds);
  if (whole < 60) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}m ${pad(whole % 60)}s`;
  return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
}

/** As Python rounds: what lies in the middle goes to the even neighbour. */
function round(value: number): number {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

function tenths(value: number): string {
  // Of all numbers, only those that end in exactly .25 or .75 lie in the middle of two tenths.
  return ((value * 4) % 2 === 1 ? round(value * 10) / 10 : value).toFixed(1);
}

function pad(value: number): string {
  return value.toString().padStart(2, "0");
}

/** How many a group is, to stand beside its name: `× 3,376`; empty for what is one task run. */
export function timesOf(node: NodeView): string {
  return node.kind === "group" ? `× ${count(node.total)}` : "";
}

/** The name of a state as words: `Awaiting Retry`. */
export function stateWords(state: StateView): string {
  return state.name.replace(/(?<=[a-z])(?=[A-Z])/g, " ");
}

/** What a screen reader says of a node: `locate, group of 3,376, running, 2,100 done, 3 failed`. */
export function nodeLabel(node: NodeView): string {
  const parts = [node.name];
  if (node.kind === "group") parts.push(`group of ${count(node.total)}`);
  if (node.kind === "flow") parts.push("subflow");
  parts.push(stateWords(node.state).toLowerCase());
  if (node.total > 1) {
    for (const word of ["done", "failed"] as const) {
      if (node.counts[word]) parts.push(`${count(node.counts[word])} ${word}`);
    }
  } else if (node.line && node.line !== parts.at(-1)) {
    parts.push(node.line);
  }
  return parts.join(", ");
}
