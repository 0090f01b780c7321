"""From the graphs of other programs to lists of layers: one importer for each kind of graph."""
