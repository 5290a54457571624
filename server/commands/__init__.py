"""Commands of the server: `clavilux live` and `clavilux serve`, and what both share."""
