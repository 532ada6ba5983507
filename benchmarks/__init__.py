"""Every figure that the README claims, each one command."""
