"""The built-in raw data: simulated people, recorded by simulated sensors, in the formats of NTU and MeTRAbs.

    subject -> body, style          body.py       segments, points on them, the joints of every convention
    action -> controls              actions.py    scripts made of the paths of motion.py
    controls -> pose                kinematics.py bones of constant length, joints within their range
    people on the floor             perform.py
    pose -> what a sensor reports   sensors.py    Kinect v2 and a monocular estimator, with their errors
    clips -> files                  files.py
    clips one after another         recordings.py

NTU RGB+D may not be redistributed; numbers measured on this set say nothing about it.
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
