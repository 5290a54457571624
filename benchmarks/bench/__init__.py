"""`clavilux bench`: its options, the order it measures in, tables, JSON and plots."""
