"""Deep Image Prior: the time of a step, recipes, and the published scores."""
