/** Numbers and times as people read them; `tidegate_widgets/picture.py` writes them the same way. */

import type { Counts, NodeView } from "./protocol";

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

/** Seconds as `0.4s`, `48s`, `2m 46s` or `3h 05m`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  const minutes = Math.floor(whole / 60);
  return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
}

function pad(value: number): string {
  return value.toString().padStart(2, "0");
}

/** What a screen reader says of a node: `locate, group of 3,376, running, 2,100 done, 3 failed`. */
export function nodeLabel(node: NodeView): string {
  const parts = [node.name];
  if (node.kind === "group") parts.push(`group of ${count(node.total)}`);
  if (node.kind === "flow") parts.push("subflow");
  parts.push(node.state.name.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase());
  if (node.total > 1) {
    for (const word of ["done", "failed"] as const) {
      if (node.counts[word]) parts.push(`${count(node.counts[word])} ${word}`);
    }
  } else if (node.line && node.line !== parts.at(-1)) {
    parts.push(node.line);
  }
  return parts.join(", ");
}
