"""Looks whether everything is in place, and says how to mend what is not; changes nothing."""
