"""How good a detector is: VOC and COCO average precision of detections against a data set."""
