"""What networks, their parts and inference cost, and what they are worth."""
