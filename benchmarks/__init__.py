"""What a task costs, beside the raw limits of the machine, measured in the same run."""
