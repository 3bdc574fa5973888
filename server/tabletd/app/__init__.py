"""The composition root: the components from a configuration, their start and their end."""
