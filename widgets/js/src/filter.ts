/** Which nodes a person wants to see: those with task runs of one kind, and those whose words fit. */

import type { Counts, NodeView } from "./protocol";
import { stateWords } from "./text";

export class Filter {
  /** Only nodes with such task runs; null for all. */
  word: keyof Counts | null = null;
  /** Only nodes that have all of these words, in any case, in their name or state. */
  text = "";

  get on(): boolean {
    return this.word !== null || this.text.trim() !== "";
  }

  matches(node: NodeView): boolean {
    if (this.word !== null && !node.counts[this.word]) return false;
    const text = `${node.name} ${stateWords(node.state)} ${node.alert}`.toLowerCase();
    return this.text.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  /** What is to be said where nothing fits. */
  get nothing(): string {
    const runs = this.word === null ? "task run" : `${this.word} task run`;
    const text = this.text.trim();
    return text ? `There is no ${runs} with “${text}”.` : `There is no ${runs}.`;
  }
}
