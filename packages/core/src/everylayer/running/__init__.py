"""What runs in this process right now, read from outside: stacks, tasks, and their spans."""
