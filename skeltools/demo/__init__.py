"""Built-in raw data: simulated people, recorded by simulated sensors, in the formats of NTU and MeTRAbs.

    subject -> body, style          body.py       segments, points on them, joints of all conventions
    action -> controls              actions.py    scripts built from the paths of motion.py
    controls -> pose                kinematics.py constant bone lengths, joints within their range
    people on the floor             perform.py
    pose -> sensor output           sensors.py    Kinect v2 and a monocular estimator, with errors
    clips -> files                  files.py
    clips in sequence               recordings.py

NTU RGB+D may not be redistributed; results on this data set say nothing about it.
"""

from skeltools.demo.actions import ACTIONS
from skeltools.demo.body import CONVENTIONS, body_of
from skeltools.demo.files import MARKER, DemoSummary, write_demo
from skeltools.demo.perform import perform
from skeltools.demo.recordings import write_demo_recordings

__all__ = [
    "ACTIONS",
    "CONVENTIONS",
    "MARKER",
    "DemoSummary",
    "body_of",
    "perform",
    "write_demo",
    "write_demo_recordings",
]
