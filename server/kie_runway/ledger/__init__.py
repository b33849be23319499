"""Where tasks are remembered."""
