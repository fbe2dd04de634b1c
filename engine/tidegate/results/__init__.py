"""Saved results: values as bytes that say how to read them, where the large ones lie, and what is worth saving.

Nothing in here is imported for a value that is not saved, and looking at a blob never loads it.
"""
