"""Saved results: values as bytes that say how to read them, where the large ones lie, and what is worth saving.

Looking at a saved result never loads it.
"""
