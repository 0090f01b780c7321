"""Read pictures, prepare network input and map positions back to the picture."""
