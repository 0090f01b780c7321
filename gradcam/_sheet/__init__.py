"""The sheet of the most probable classes: pictures, a map for each class, and what it lies on."""
