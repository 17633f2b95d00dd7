"""What makes a release: bundled weights, model cards, and checks between two checkouts."""
