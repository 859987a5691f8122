"""Look inside a network: attention maps, receptive fields, cost."""
