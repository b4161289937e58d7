"""Images to a list of feature maps, fine to coarse: any `nn.Module` that does that."""
