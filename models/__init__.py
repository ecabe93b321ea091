"""Fitted state: stage, conversion, calibration, intervals, reliability, and the bundle that carries them."""
