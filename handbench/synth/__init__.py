"""Synthetic hands: a parametric right hand, poses within the joint limits, a depth renderer, the noise of a sensor.

Nothing here is recorded from people. docs/synthetic.md says what the frames are good for and what not.
"""
