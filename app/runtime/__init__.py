"""The terminal, the machine, child processes and processes side by side."""
