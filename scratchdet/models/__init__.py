"""Detectors: backbones, necks, heads, and the zoo of named combinations."""
