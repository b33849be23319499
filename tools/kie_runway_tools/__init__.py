"""The tools that agents see, one module each."""
