"""The default bundle's models, one file each, and what trains them."""
