"""A run in the viewer: its views, errors, feature neighbours and recordings as tabs of a page.

    inputs -> views     the inputs of the encoders, recorded from the method's own forward
    mistakes            misclassified test clips
    features            nearest clips, and all clips in a 2D map
    recordings          findings of a window classifier in recordings, beside their labels
    tabs -> page        the answers to the page, served or in one file

Clips of a store are drawn by the code of ``skeltools view``; prepared clips by
``trainer.report.tracks``.
"""
