"""Playing episodes: evaluate, tune, film."""
