"""The functions that rotate passwords; packed alone, so they import nothing from the rest of `deploy`."""
