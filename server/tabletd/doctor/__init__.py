"""`tabletd doctor`: looks at a machine and a server, says what is fit, and writes nothing."""
