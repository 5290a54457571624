"""Commands of the instrument, `clavilux render` and `clavilux doctor`, and options that commands share."""
