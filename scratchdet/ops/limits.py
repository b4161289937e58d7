"""What becomes a detection, by default; without torch, for networks that run without it."""

# SSD Caffe release, detection_output_param
MIN_SCORE = 0.01
TOP_PER_CLASS = 400
NMS_IOU = 0.45
KEEP = 200
