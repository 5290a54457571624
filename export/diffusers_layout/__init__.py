"""diffusers' layout: a pipeline's parts as plain graphs, in the folders that optimum expects."""
