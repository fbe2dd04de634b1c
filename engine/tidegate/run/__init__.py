"""How a run lives: lifecycles written once, and the drivers that carry them out."""
