/** Which nodes a person wants to see: those with task runs of one kind, and those whose words fit. */

import type { Counts, NodeView } from "./protocol";
import { stateWords } from "./text";

const PLACE = /\[(\d+)\]\s*$/;

export class Filter {
  /** Only nodes with such task runs; null for all. */
  word: keyof Counts | null = null;
  /** Only nodes that have all of these words, in any case, in their name or state. */
  text = "";

  get on(): boolean {
    return this.word !== null || this.text.trim() !== "";
  }

  /** The place that `locate[17]` names; null for any other text. */
  get place(): number | null {
    const found = PLACE.exec(this.text);
    return found ? Number(found[1]) : null;
  }

  matches(node: NodeView): boolean {
    if (this.word !== null && !node.counts[this.word]) return false;
    const place = this.place;
    if (place !== null && (node.kind !== "group" || place >= node.total)) return false;
    const words = this.text.replace(PLACE, "").toLowerCase().split(/\s+/);
    const text = `${node.name} ${stateWords(node.state)} ${node.alert}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }

  /** What is to be said where nothing fits. */
  get nothing(): string {
    const runs = this.word === null ? "task run" : `${this.word} task run`;
    const text = this.text.trim();
    return text ? `There is no ${runs} with “${text}”.` : `There is no ${runs}.`;
  }
}
