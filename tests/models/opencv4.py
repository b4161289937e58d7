"""OpenCV 4 in a process of its own: what its Caffe importer, gone from OpenCV 5, computes.

Run as `python opencv4.py JOB.npz RESULT.npz`, with OpenCV 4 first on the path. JOB holds the
network (`prototxt` and `weights`, the bytes of the two files), the names of the blobs wanted
(`outputs`), and those to be computed once more, each by a call of its own (`again`); every other
array is an input blob of that name. RESULT holds the outputs, and as `NAME again` the latter.
"""

import sys

import cv2
import numpy as np

OF_THE_JOB = ("prototxt", "weights", "outputs", "again")


def main(job_path: str, result_path: str) -> None:
    cv2.setNumThreads(1)
    with np.load(job_path, allow_pickle=False) as job:
        network = cv2.dnn.readNetFromCaffe(job["prototxt"], job["weights"])
        network.enableWinograd(False)  # whose rounding is five times as coarse
        for name in job.files:
            if name not in OF_THE_JOB:
                network.setInput(job[name], name)
        names, again = ([str(name) for name in job[key]] for key in ("outputs", "again"))
    results = dict(zip(names, network.forward(names), strict=True))
    results |= {f"{name} again": network.forward(name) for name in again}
    np.savez(result_path, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
