"""Pure tensor functions: no parameters, no configuration, no files, no argument modified."""
