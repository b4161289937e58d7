"""From files on disk to samples: readers, decoding, augmentation, batches."""
