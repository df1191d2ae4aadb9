"""A run in the viewer: what its method sees, where it errs, what it takes for alike, as tabs of the page.

    seen -> views       what the encoders are given, recorded from the method's own forward
    mistakes            test clips that were named wrong
    features            nearest clips, and all of them in the plane
    recordings          what a classifier of windows finds in recordings, beside their labels
    tabs -> page        the answers to the page, served or in one file

Clips of a store are drawn as ``skeltools view`` draws them, by its code; prepared ones by ``pictures``.
"""
