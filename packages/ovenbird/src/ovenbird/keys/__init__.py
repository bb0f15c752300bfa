"""Keys that sign bundles: where they live, how they sign, how they are replaced."""
