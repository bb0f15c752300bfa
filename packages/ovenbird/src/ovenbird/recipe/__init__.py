"""What a user may write, and how it is read: the recipe's model, loading with include and merge, errors with lines."""
