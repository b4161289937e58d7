"""Images to a list of feature maps, fine to coarse. Any `nn.Module` that does that is a backbone."""
