"""From a recipe to a tree: the plan, the store, and the engine that runs the stages."""
