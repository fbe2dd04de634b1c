/** The anywidget module of a run: a store for each model, a view for each display. */

import type { Model } from "./model";
import { Store } from "./store";
import { RunGraph } from "./view";

export default () => {
  let store: Store | null = null;
  return {
    initialize({ model }: { model: Model }): () => void {
      const own = (store = new Store(model));
      return () => own.destroy();
    },
    render({ model, el }: { model: Model; el: HTMLElement }): () => void {
      // Every host calls `initialize` first, but a view without a store would be a blank cell.
      store ??= new Store(model);
      const view = new RunGraph(store, el);
      return () => view.destroy();
    },
  };
};
