"""What runs, states and events *are*: values without I/O, loop or clock."""
