"""Which device runs which graph: the names of `--device`, shapes of graphs, what `auto` measures and remembers."""
