"""Models, one file each: checked, and wrapped as the module that becomes a graph."""
