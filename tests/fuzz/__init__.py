"""Coverage-guided fuzzing (atheris) of everything that reads a stranger's bytes."""
