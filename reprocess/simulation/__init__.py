"""An archive simulator that shares no code with the calibration: its own detectors, its own equations, known truth."""
