"""A peer of the run's DHT."""
