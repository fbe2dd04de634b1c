"""What may happen next: pure decisions about proposed states."""
