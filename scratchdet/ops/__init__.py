"""Pure tensor functions: no parameters, no configuration, no input or output, no argument modified."""
